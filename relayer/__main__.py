"""Entry point of ``python -m relayer``: run until SIGTERM or SIGINT.

Exit codes: 0 stopped by a signal, 1 unexpected error, 2 invalid settings.
"""

import asyncio
import logging
import signal
import sys

from relayer.daemon import Daemon
from relayer.lease.watchdog import kill_timer
from trading.config.processes import Process, ProcessKind
from trading.config.settings import Settings
from trading.observability import logs
from trading.observability.metrics import exposition
from trading.redis.running_processes import report_process


def main() -> int:
    settings = logs.setup_logging(Process.RELAYER)
    # At DEBUG this library logs large parts of every frame, and frames carry the guest token.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    asyncio.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    daemon = Daemon(settings, watchdog=kill_timer())
    exposition.serve(settings, exposition.build_registry(daemon.metrics, include_process=True))
    report_process(ProcessKind.RELAYER, settings.redis_url.get_secret_value())
    await daemon.run(stop)


if __name__ == "__main__":
    sys.exit(main())
