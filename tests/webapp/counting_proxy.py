"""TCP proxy that counts the round trips of a client."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from launcher.ports import LOOPBACK


class CountingProxy:
    """`trips` counts how often the client sent data and then waited. For one client, one request at
    a time.
    """

    def __init__(self, server_port: int) -> None:
        self.trips = 0
        self._server_port = server_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def close(self) -> None:
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((LOOPBACK, self._server_port))
            self._sockets += [client, server]
            self._start(
                lambda client=client, server=server: self._forward(client, server, counted=True)
            )
            self._start(
                lambda client=client, server=server: self._forward(server, client, counted=False)
            )

    def _forward(self, source: socket.socket, target: socket.socket, *, counted: bool) -> None:
        with suppress(OSError):
            while octets := source.recv(1 << 20):
                self.trips += counted
                target.sendall(octets)

    @staticmethod
    def _start(work: object) -> None:
        threading.Thread(target=work, daemon=True).start()  # type: ignore[arg-type]


@contextmanager
def counting_proxy(server_port: int) -> Iterator[CountingProxy]:
    proxy = CountingProxy(server_port)
    try:
        yield proxy
    finally:
        proxy.close()
