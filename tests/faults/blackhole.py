"""TCP proxy in front of a server that can stop forwarding packets. It runs on its own thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.relayer.freezing_proxy import FreezingProxy, freezing_proxy
from tests.support.deadlines import DEADLINE_S


class Blackhole:
    """Proxy at `port`. Between `open` and `close` it forwards nothing."""

    def __init__(self, proxy: FreezingProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.port = proxy.port
        self._proxy = proxy
        self._loop = loop

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.freeze)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.thaw)


@contextmanager
def blackhole_before(server_port: int) -> Iterator[Blackhole]:
    """Run a forwarding proxy in front of a local port until the block ends."""
    loop, started, stopping = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    proxies: list[FreezingProxy] = []

    async def serve() -> None:
        async with freezing_proxy(server_port) as proxy:
            proxies.append(proxy)
            started.set()
            await stopping.wait()

    thread = threading.Thread(
        target=loop.run_until_complete, args=(serve(),), name="hole", daemon=True
    )
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield Blackhole(proxies[0], loop)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(DEADLINE_S)
        loop.close()
