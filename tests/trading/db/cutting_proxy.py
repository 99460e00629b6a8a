"""A TCP proxy in front of a database server that cuts connections at their COMMIT.

It clears the server's TLS capability, because the driver would use TLS and hide the packets.
"""

import socket
import threading
from contextlib import suppress
from enum import Enum
from typing import Self

from launcher.ports import LOOPBACK

# A protocol packet: length (3 bytes), number, COM_QUERY, and the statement.
_COMMIT = bytes([7, 0, 0, 0, 3]) + b"COMMIT"
_JOIN_S = 10.0


class Cut(Enum):
    BEFORE = "the COMMIT does not reach the server"
    AFTER = "the server commits and its response is lost"


class CuttingProxy:
    """Cuts one COMMIT of an UPDATE for each of `cuts`, on its own port.

    With `gone` it accepts no connection after the first cut.
    """

    def __init__(self, server_port: int, *cuts: Cut, gone: bool = False) -> None:
        self._server_port = server_port
        self._cuts: list[Cut | None] = list(cuts)
        self._gone = gone
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open = [self._listener]

    def cut(self, *cuts: Cut | None) -> None:
        """Cut these of the next COMMITs; None lets one pass."""
        self._cuts += cuts

    @property
    def remaining(self) -> int:
        """Return the number of cuts that are still to be made."""
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
                except OSError:  # The server is down.
                    _end(client)
                    continue
                self._open += [client, server]
                drop_response = threading.Event()
                self._run(self._forward_requests, client, server, drop_response)
                self._run(self._forward_responses, client, server, drop_response)

    def _forward_requests(
        self, client: socket.socket, server: socket.socket, drop_response: threading.Event
    ) -> None:
        updated = False
        with suppress(OSError):
            while data := client.recv(65_536):
                updated = updated or b"UPDATE" in data
                # The driver also sends COMMIT when it sets up a connection; only a COMMIT after an
                # UPDATE counts.
                cut = self._cuts.pop(0) if data == _COMMIT and updated and self._cuts else None
                if cut is not None and self._gone:
                    _end(self._listener)
                if cut is Cut.BEFORE:
                    break
                if cut is Cut.AFTER:
                    drop_response.set()
                server.sendall(data)
        _end(client, server)

    def _forward_responses(
        self, client: socket.socket, server: socket.socket, drop_response: threading.Event
    ) -> None:
        with suppress(OSError):
            client.sendall(_without_tls(server.recv(65_536)))
            # A client sends its next request only after the previous response is complete, so the
            # next data is the COMMIT's response.
            while (data := server.recv(65_536)) and not drop_response.is_set():
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
