"""A hole in the network: a proxy before a server that lets nothing through for a while, on a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.relayer.freezing_proxy import FreezingProxy, freezing_proxy
from tests.support.deadlines import DEADLINE_S


class Hole:
    """``port`` leads to the server; ``open`` to nowhere, until ``close``."""

    def __init__(self, proxy: FreezingProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.port = proxy.port
        self._proxy = proxy
        self._loop = loop

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.freeze)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.thaw)


@contextmanager
def hole_before(server_port: int) -> Iterator[Hole]:
    """A closed one, until the block ends."""
    loop, stands, leave = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[FreezingProxy] = []

    async def serve() -> None:
        async with freezing_proxy(server_port) as proxy:
            found.append(proxy)
            stands.set()
            await leave.wait()

    thread = threading.Thread(
        target=loop.run_until_complete, args=(serve(),), name="hole", daemon=True
    )
    thread.start()
    assert stands.wait(DEADLINE_S)
    try:
        yield Hole(found[0], loop)
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(DEADLINE_S)
        loop.close()
