"""Production logging inside a test process, and the rules for log lines."""

import contextlib
import io
import json
import logging
import re
import sys
import threading
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any

import structlog

from trading.config.settings import Settings
from trading.observability.logs import configure

FORMATS = ("console", "json")
# Contains line breaks (also those of str.splitlines() only), terminal escapes, bidirectional
# controls, lone surrogates, and text that imitates a log line.
HOSTILE = (
    "x\n2026-01-01T00:00:00.000000Z [critical ] forged\r\n"
    '{"timestamp": "2026-01-01T00:00:00.000000Z", "event": "forged", "level": "critical"}\n'
    "\x1b[2J\x1b[31m\x9b31m\x07\x08\x00\x0b\x0c\x1c\x1d\x1e"
    "\x85\u2028\u2029\u202e\u2066\u200f\u200b\ufeff\udc80\ud800 '\" level=error 한글"
)
# Unicode categories: controls, formats, surrogates, line and paragraph separators.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_CONSOLE_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[\w+ *\] ")
_CONTINUATION = "    | "


@contextlib.contextmanager
def logs_of(settings: Settings) -> Iterator[io.StringIO]:
    """Configure logging as the product does, and collect what it writes while the block runs."""
    written = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    with contextlib.redirect_stderr(written):
        configure(settings)
    try:
        # pytest's own handlers do not write here.
        yield written
    finally:
        root.handlers[:], root.level = before
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks[:3]
        logging.captureWarnings(False)
        warnings.showwarning = hooks[3]
        structlog.reset_defaults()


def unsafe_characters(text: str) -> set[str]:
    """Return the characters of a text, other than newlines, that must not reach a terminal."""
    return {one for one in text if one != "\n" and unicodedata.category(one) in UNSAFE_CATEGORIES}


def json_lines(text: str) -> list[dict[str, Any]]:
    """Parse every line of a JSON log, split by str.splitlines(). Raise if a line is not JSON."""
    return [json.loads(line) for line in text.splitlines()]


def events(text: str, log_format: str) -> list[str]:
    """Return the events of a log. Raise AssertionError if a line neither starts an event nor is
    indented.
    """
    assert not unsafe_characters(text), ascii(text)
    text.encode()
    if log_format == "json":
        return [str(line["event"]) for line in json_lines(text)]
    lines = [line for line in text.splitlines() if not line.startswith(_CONTINUATION)]
    assert all(map(_CONSOLE_LINE.match, lines)), ascii(text)
    return [line.split("] ", 1)[1].split(" ", 1)[0] for line in lines]
