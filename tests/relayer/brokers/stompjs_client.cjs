// npm's @stomp/stompjs as a client: `node stompjs_client.cjs API_URL WEBSOCKET_URL DESTINATION`.
// It takes a guest token, subscribes with a receipt, waits for one message after an idle second, withdraws, disconnects with a receipt,
// and writes a line of JSON for each of these.
const { Client } = require("@stomp/stompjs");
Object.assign(global, { WebSocket: require("ws") });

const [apiUrl, brokerURL, destination] = process.argv.slice(2);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const fail = (reason) => {
  say("failed", { reason });
  process.exit(1);
};

async function main() {
  const { result: token } = await (await fetch(`${apiUrl}/api/v1/refresh-utk`)).json();
  const client = new Client({
    brokerURL,
    connectHeaders: { authorization: token },
    heartbeatIncoming: 200,
    heartbeatOutgoing: 200,
    reconnectDelay: 0,
    onStompError: (frame) => fail(frame.headers.message),
    onWebSocketError: () => fail("the socket"),
    onDisconnect: () => say("disconnected"),
    onWebSocketClose: () => say("closed"),
  });
  client.onConnect = (frame) => {
    say("connected", { version: frame.headers.version, heartBeat: frame.headers["heart-beat"] });
    client.watchForReceipt("subscribed", () => setTimeout(() => say("subscribed"), 1000));
    const subscription = client.subscribe(
      destination,
      (message) => {
        say("message", { body: message.body, subscription: message.headers.subscription, id: message.headers["message-id"] });
        client.watchForReceipt("withdrawn", () => {
          say("withdrawn");
          client.deactivate();
        });
        subscription.unsubscribe({ receipt: "withdrawn" });
      },
      { id: "한:1", receipt: "subscribed" },
    );
  };
  client.activate();
}

main().catch((error) => fail(String(error)));
