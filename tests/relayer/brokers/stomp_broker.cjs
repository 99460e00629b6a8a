// npm's stomp-broker-js on a free port of loopback: `node stomp_broker.cjs HEART_BEAT_MS`.
// It writes a line of JSON for its port and for everything that clients do, and cuts all connections when it reads `drop`.
const http = require("http");
const readline = require("readline");
const StompServer = require("stomp-broker-js");

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const beat = Number(process.argv[2]);
const server = http.createServer();
const broker = new StompServer({ server, path: "/ws", heartbeat: [beat, beat] });

broker.on("connected", () => say({ event: "connected" }));
broker.on("subscribe", (subscription) => say({ event: "subscribe", topic: subscription.topic }));
broker.on("unsubscribe", (subscription) => say({ event: "unsubscribe", topic: subscription.topic }));
broker.on("disconnected", () => say({ event: "disconnected" }));
readline.createInterface({ input: process.stdin }).on("line", (word) => {
  if (word === "drop") broker.socket.clients.forEach((client) => client.terminate());
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
