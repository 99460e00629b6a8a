"""Logs of a process: one line an event, readable in a terminal or as JSON. Event names are constant, data goes into keywords, ids not objects.

Whatever writes in a process comes this way: its libraries, Python's warnings and exceptions that nobody catches too. The last step makes one
line of an event, whatever was sent to us for it, and hides what is secret (see trading.observability.logs.lines).
"""

import json
import logging
import os
import sys
import warnings
from typing import Any, NoReturn, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from trading.config.processes import Process
from trading.config.settings import Settings, SettingsError, asks_for_json, load
from trading.observability.logs.hooks import log_uncaught_exceptions
from trading.observability.logs.lines import Mask, bounded, visible, visible_in_json

log = structlog.get_logger(__name__)

# Frames of one exception: the outermost and the innermost of them.
_FRAMES_MAX = 20
_BELOW = "    | "
# They log each of their own parts and steps at INFO; migrations/env.py prints the steps.
_TALKATIVE = ("alembic.runtime.plugins", "alembic.runtime.migration")
_FIRST = ("timestamp", "level", "event")


def setup_logging(process: Process) -> Settings:
    """Load this process's settings and set up its logs by them.

    Settings with faults are reported in the log's format and end the process: a command with one
    line and exit code 1, any other with a line for each fault and 2.
    """
    try:
        settings = load(process=process)
    except SettingsError as faults:
        _refuse(faults, process)
    configure(settings)
    return settings


def _refuse(faults: SettingsError, process: Process) -> NoReturn:
    is_command = process is Process.COMMAND
    _, *lines = (line.strip() for line in str(faults).splitlines())
    if asks_for_json():
        configure(Settings(log_format="json"))
        log.critical("settings_invalid", faults=lines)
    elif is_command:
        sys.stderr.write(f"Error: correct these settings: {'; '.join(lines)}.\n")
    else:
        sys.stderr.write(f"{faults}\n")
    sys.exit(1 if is_command else 2)


def configure(settings: Settings) -> None:
    """Send this process's logs, ours and the libraries', to standard error in one shape."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_pid,
    ]
    mask = Mask(settings)
    # Tracebacks without the local variables that both renderers would show: those hold passwords and tokens.
    if settings.log_format == "json":
        transformer = ExceptionDictTransformer(show_locals=False, max_frames=_FRAMES_MAX)
        rendering: list[Processor] = [
            structlog.processors.ExceptionRenderer(transformer),
            bounded,
            _Json(mask),
        ]
    else:
        rendering = [structlog.processors.format_exc_info, bounded, _Console(mask)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = _Lines(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's signature
    warnings.showwarning = _tell_warning
    log_uncaught_exceptions()


def _add_pid(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What a supervisor tells of a process that died leads by this to what it was doing."""
    event.setdefault("pid", os.getpid())
    return event


class _Json:
    """A line for a log collector. Korean stays Korean."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        # One for all lines: the library's own renderer makes one for each, which is most of what it takes.
        self._encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> str:
        first = {name: event.pop(name) for name in _FIRST if name in event}
        return self._mask(visible_in_json(self._encode({**first, **event})))


class _Console:
    """A line for a person. What stands below one, such as a traceback, is indented, so that no line of it looks like a line of the log."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._render = structlog.dev.ConsoleRenderer(colors=False)

    def __call__(self, logger: Any, method: str, event: EventDict) -> str:
        below = [text for key in ("stack", "exception") if (text := event.pop(key, None))]
        lines = [visible(self._render(logger, method, event))]
        lines += [_BELOW + visible(line) for text in below for line in text.split("\n")]
        return self._mask("\n".join(lines))


class _Lines(logging.StreamHandler[TextIO]):
    """Writes the lines. One that can't be put together is told of in one line too, not in the many that the standard library writes then."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        fault = sys.exc_info()[0]
        # Where nothing can be written at all there is nobody to tell.
        if fault is None or issubclass(fault, OSError) or record.name == __name__:
            return
        log.error("log_line_failed", of=record.name, reason=fault.__name__)


def _tell_warning(  # noqa: PLR0917
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the names are the standard library's
    line: str | None = None,  # noqa: ARG001
) -> None:
    structlog.get_logger("py.warnings").warning(
        "python_warning",
        category=category.__name__,
        text=str(message),
        place=f"{filename}:{lineno}",
    )
