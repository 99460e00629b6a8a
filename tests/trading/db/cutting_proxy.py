"""A TCP proxy before a database server that cuts connections at their COMMIT.

It hides from clients that the server offers TLS, which the driver would use.
"""

import socket
import threading
from contextlib import suppress
from enum import Enum
from typing import Self

from launcher.ports import LOOPBACK

# A packet of the protocol: length (3 bytes), number, COM_QUERY, and the statement.
_COMMIT = bytes([7, 0, 0, 0, 3]) + b"COMMIT"
_JOIN_S = 10.0


class Cut(Enum):
    BEFORE = "the server never sees the COMMIT"
    AFTER = "the server did it and its answer is lost"


class CuttingProxy:
    """Listens on a port of its own and cuts one COMMIT of an UPDATE for each of ``cuts``. With ``gone`` nobody gets through after the first cut."""

    def __init__(self, server_port: int, *cuts: Cut, gone: bool = False) -> None:
        self._server_port = server_port
        self._cuts: list[Cut | None] = list(cuts)
        self._gone = gone
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open = [self._listener]

    def cut(self, *cuts: Cut | None) -> None:
        """Cut these of the next COMMITs; where it is None one gets through."""
        self._cuts += cuts

    @property
    def left(self) -> int:
        """How many of them have not come yet."""
        return len(self._cuts)

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _end(*self._open)
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((LOOPBACK, self._server_port))
                except OSError:  # Nobody is there.
                    _end(client)
                    continue
                self._open += [client, server]
                swallow = threading.Event()
                self._run(self._requests, client, server, swallow)
                self._run(self._answers, client, server, swallow)

    def _requests(
        self, client: socket.socket, server: socket.socket, swallow: threading.Event
    ) -> None:
        wrote = False
        with suppress(OSError):
            while data := client.recv(65_536):
                wrote = wrote or b"UPDATE" in data
                # A driver also sends COMMIT when it sets a connection up; only one that ends a change counts.
                cut = self._cuts.pop(0) if data == _COMMIT and wrote and self._cuts else None
                if cut is not None and self._gone:
                    _end(self._listener)
                if cut is Cut.BEFORE:
                    break
                if cut is Cut.AFTER:
                    swallow.set()
                server.sendall(data)
        _end(client, server)

    def _answers(
        self, client: socket.socket, server: socket.socket, swallow: threading.Event
    ) -> None:
        with suppress(OSError):
            client.sendall(_without_tls(server.recv(65_536)))
            # A client asks only after it has had the whole answer before, so what comes next is the COMMIT's.
            while (data := server.recv(65_536)) and not swallow.is_set():
                client.sendall(data)
        _end(client, server)


def _without_tls(greeting: bytes) -> bytes:
    """Return a server's first packet without the capability CLIENT_SSL."""
    # Header 4, protocol 1, version and NUL, thread 4, salt 8, filler 1, then the capabilities.
    capabilities = greeting.find(b"\0", 5) + 1 + 4 + 8 + 1
    if len(greeting) < capabilities + 2:
        return greeting
    changed = bytearray(greeting)
    changed[capabilities + 1] &= ~0x08 & 0xFF
    return bytes(changed)


def _end(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
