"""HTTP server whose answers are given as bytes, so that they can be cut, delayed and malformed."""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOLD_S = 60.0
DRIBBLE_S = 0.02


class Ending(Enum):
    """What happens to the connection after the bytes of an answer."""

    KEEP = auto()  # The connection stays open for the next request.
    CLOSE = auto()
    RESET = auto()  # TCP is reset.
    HOLD = auto()  # The connection stays open and silent.
    DRIBBLE = auto()  # A byte at a time, until the client disconnects.


@dataclass(frozen=True)
class Answer:
    octets: bytes
    ending: Ending = Ending.KEEP


@dataclass(frozen=True)
class Request:
    """A received request. Header names are in lower case; `peer` identifies the connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]

    @property
    def members(self) -> Any:
        return json.loads(self.body)


Reply = Callable[[Request], Answer]


def answer(
    status: int, body: object = None, *, octets: bytes | None = None, **headers: str
) -> Answer:
    """Build a well-formed answer with `body` as JSON, or with `octets` as its body.

    Underscores in the names of `headers` become hyphens.
    """
    content = json.dumps(body).encode() if octets is None else octets
    named = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Answer(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + content)


class Server:
    """Answers every request with `reply` and records it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        self._stopping = threading.Event()
        self.open_connections: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        self._server.serve_forever(0.01)

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        for connection in tuple(self.open_connections):
            with suppress(OSError):  # Already closed.
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def _end(self, connection: socket.socket, ending: Ending) -> None:
        match ending:
            case Ending.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(connection.detach())  # The server's file objects would keep it open.
            case Ending.HOLD:
                self._stopping.wait(HOLD_S)
            case Ending.DRIBBLE:
                while not self._stopping.wait(DRIBBLE_S):
                    connection.sendall(b" ")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body, self.client_address)
                outer.requests.append(request)
                with suppress(OSError):  # The client may disconnect at any time.
                    given = outer.reply(request)
                    self.wfile.write(given.octets)
                    self.close_connection = given.ending is not Ending.KEEP
                    outer._end(self.connection, given.ending)

            do_POST = do_GET  # noqa: N815 - the server calls it so

            def setup(self) -> None:
                super().setup()
                outer.open_connections.append(self.connection)

            def finish(self) -> None:
                outer.open_connections.remove(self.connection)
                super().finish()

            def log_message(self, *_: object) -> None:
                """Write nothing, to keep the test's output clean."""

        return Handler


@contextmanager
def serving(reply: Reply) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Server(reply)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
