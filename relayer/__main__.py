"""``python -m relayer``: runs until SIGTERM or SIGINT. Exit codes: 0 told to stop, 1 unforeseen fault, 2 faulty settings."""

import asyncio
import logging
import signal
import sys

from relayer.daemon import Daemon
from relayer.dead_man import dead_man_switch
from trading import logs
from trading.metrics import telling
from trading.processes import Process
from trading.settings import Settings


def main() -> int:
    settings = logs.begin(Process.RELAYER)
    # At DEBUG this library writes large parts of every frame, and the token travels in one.
    logging.getLogger("websockets").setLevel(logging.WARNING)
    asyncio.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    daemon = Daemon(settings, switch=dead_man_switch())
    telling.serve(settings, telling.told(daemon.metrics, of_one_process=True))
    await daemon.run(stop)


if __name__ == "__main__":
    sys.exit(main())
