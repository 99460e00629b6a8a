"""``python -m push_gateway``: runs until SIGTERM or SIGINT. Exit codes: 0 told to stop, 1 unforeseen fault, 2 faulty settings."""

import asyncio
import resource
import signal
import sys

import structlog

from push_gateway.parse_error_logging import tell_malformed_shortly
from push_gateway.server import Gateway
from trading.config.processes import Process
from trading.config.settings import Settings
from trading.observability import logs

log = structlog.get_logger(__name__)


def main() -> int:
    settings = logs.setup_logging(Process.GATEWAY)
    tell_malformed_shortly()
    # Each client takes a descriptor, and the usual 1,024 that a process begins with are only advice.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(_run(settings))
    except OSError as refused:
        log.critical("gateway_bind_failed", port=settings.gateway_port, reason=refused.strerror)
        return 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Gateway(settings).run(stop)


if __name__ == "__main__":
    sys.exit(main())
