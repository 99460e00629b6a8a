"""``python -m relayer``: runs until SIGTERM or SIGINT. Exit codes: 0 told to stop, 1 unforeseen fault, 2 faulty settings."""

import asyncio
import logging
import signal
import sys

import structlog

from relayer.daemon import Daemon
from trading.settings import Settings, SettingsError, load


def main() -> int:
    try:
        settings = load()
    except SettingsError as faults:
        sys.stderr.write(f"{faults}\n")
        return 2
    configure_log(settings)
    asyncio.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Daemon(settings).run(stop)


def configure_log(settings: Settings) -> None:
    """One line an event on standard output: for people, or JSON for machines."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    sys.exit(main())
