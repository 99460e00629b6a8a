"""Serve an aiohttp application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

SHUTDOWN_TIMEOUT_S = 1.0


@asynccontextmanager
async def running_server(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve until the context ends. Yield the port, chosen by the system for 0. Raise OSError if in
    use.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
