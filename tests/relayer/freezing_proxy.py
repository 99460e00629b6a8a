"""A TCP proxy that can stop forwarding, as when packets are lost: connections stay open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from launcher.ports import LOOPBACK


class FreezingProxy:
    """Forwards bytes in both directions unless frozen."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._flowing = asyncio.Event()
        self._flowing.set()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def handle_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._server_port)
        await asyncio.gather(self._forward(reader, back), self._forward(there, writer))

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._flowing.wait()
                target.write(data)
                await target.drain()
        target.close()


@asynccontextmanager
async def freezing_proxy(server_port: int) -> AsyncIterator[FreezingProxy]:
    """Run a proxy on its own port until the context ends."""
    proxy = FreezingProxy(server_port)
    listener = await asyncio.start_server(proxy.handle_connection, LOOPBACK, 0)
    proxy.port = int(listener.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        proxy.thaw()
        listener.close()
