"""Structured logs of a process: one line per event, as readable text or JSON.

Event names are constant; data goes into keyword arguments, as ids instead of objects. Lines of
libraries, Python warnings and uncaught exceptions take the same path. The last processor renders
one line and hides secrets (see trading.observability.logs.lines).
"""

import json
import logging
import os
import sys
import warnings
from typing import NoReturn, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from trading.config.installation import command_environment
from trading.config.processes import Process
from trading.config.settings import Settings, SettingsError, is_json_logging, load
from trading.observability.logs.hooks import log_uncaught_exceptions
from trading.observability.logs.lines import Mask, bounded, visible, visible_in_json

log = structlog.get_logger(__name__)

# Frames logged per exception: the outermost and innermost ones.
_FRAMES_MAX = 20
_INDENT = "    | "
# Both log their own plugins and steps at INFO; migrations/env.py prints the steps.
_VERBOSE = ("alembic.runtime.plugins", "alembic.runtime.migration")
_FIRST = ("timestamp", "level", "event")


def setup_logging(process: Process) -> Settings:
    """Load the settings of this process and configure its logs.

    A command also reads the environment file of the installation.

    Invalid settings are reported in the log's format and end the process: a command with one line
    and exit status 1, any other process with one line per fault and exit status 2.
    """
    try:
        environment = command_environment() if process is Process.COMMAND else None
        settings = load(environment, process=process)
    except SettingsError as faults:
        _report_faults(faults, process)
    configure(settings)
    return settings


def _report_faults(faults: SettingsError, process: Process) -> NoReturn:
    is_command = process is Process.COMMAND
    _, *lines = (line.strip() for line in str(faults).splitlines())
    if is_json_logging():
        configure(Settings(log_format="json"))
        log.critical("settings_invalid", faults=lines)
    elif is_command:
        sys.stderr.write(f"Error: correct these settings: {'; '.join(lines)}.\n")
    else:
        sys.stderr.write(f"{faults}\n")
    sys.exit(1 if is_command else 2)


def configure(settings: Settings) -> None:
    """Send the logs of this process and its libraries to standard error in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_pid,
    ]
    mask = Mask(settings)
    # Tracebacks without local variables, which both renderers would include: they hold passwords
    # and tokens.
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
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's signature
    warnings.showwarning = _log_warning
    log_uncaught_exceptions()


def _add_pid(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the process id, which links a supervisor's report of a dead process to its lines."""
    event.setdefault("pid", os.getpid())
    return event


class _Json:
    """Renderer of JSON lines for a log collector. Korean text is not escaped."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        # One encoder for all lines: the library's renderer creates one per line, which is most of
        # its cost.
        self._encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode

    def __call__(self, _logger: object, _method: str, event: EventDict) -> str:
        first = {name: event.pop(name) for name in _FIRST if name in event}
        return self._mask(visible_in_json(self._encode({**first, **event})))


class _Console:
    """Renderer of readable lines.

    Tracebacks are indented, so that none of their lines can pass for a log line.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._render = structlog.dev.ConsoleRenderer(colors=False)

    def __call__(self, logger: object, method: str, event: EventDict) -> str:
        blocks = [text for key in ("stack", "exception") if (text := event.pop(key, None))]
        lines = [visible(self._render(logger, method, event))]
        lines += [_INDENT + visible(line) for text in blocks for line in text.split("\n")]
        return self._mask("\n".join(lines))


class _Lines(logging.StreamHandler[TextIO]):
    """Handler that reports a line it cannot format in one line, unlike the standard library."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        fault = sys.exc_info()[0]
        # If nothing can be written, the fault cannot be reported either.
        if fault is None or issubclass(fault, OSError) or record.name == __name__:
            return
        log.error("log_line_failed", of=record.name, reason=fault.__name__)


def _log_warning(  # noqa: PLR0917
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
