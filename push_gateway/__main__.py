"""Entry point of ``python -m push_gateway``: run until SIGTERM or SIGINT.

Exit codes: 0 stopped by a signal, 1 unexpected error, 2 invalid settings.
"""

import asyncio
import resource
import signal
import sys

import structlog

from push_gateway.parse_error_logging import log_parse_errors_briefly
from push_gateway.server import Gateway
from trading.config.processes import Process, ProcessKind
from trading.config.settings import Settings
from trading.observability import logs
from trading.redis.running_processes import report_process

log = structlog.get_logger(__name__)


def main() -> int:
    settings = logs.setup_logging(Process.GATEWAY)
    log_parse_errors_briefly()
    # Each client needs a file descriptor; raise the soft limit (usually 1,024) to the hard limit.
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
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
    report_process(ProcessKind.GATEWAY, settings.redis_url.get_secret_value())
    await Gateway(settings).run(stop)


if __name__ == "__main__":
    sys.exit(main())
