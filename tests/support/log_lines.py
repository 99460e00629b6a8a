"""The logs of production in a test's own process, and what a line of them must be."""

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
# Breaks lines (also where only str.splitlines() sees it), steers a terminal, turns the direction of writing, is half a character, and looks like a line.
HOSTILE = (
    "x\n2026-01-01T00:00:00.000000Z [critical ] forged\r\n"
    '{"timestamp": "2026-01-01T00:00:00.000000Z", "event": "forged", "level": "critical"}\n'
    "\x1b[2J\x1b[31m\x9b31m\x07\x08\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\u202e\u2066\u200f\u200b\ufeff\udc80\ud800 '\" level=error 한글"
)
# Unicode's controls, formats, surrogates, and separators of lines and paragraphs.
HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_CONSOLE_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \[\w+ *\] ")
_BELOW = "    | "


@contextlib.contextmanager
def logs_of(settings: Settings) -> Iterator[io.StringIO]:
    """What this process writes to its log while the block runs, set up as a process of the product sets it up."""
    written = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    with contextlib.redirect_stderr(written):
        configure(settings)
    try:
        # pytest's own handlers are none of what is written.
        yield written
    finally:
        root.handlers[:], root.level = before
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks[:3]
        logging.captureWarnings(False)
        warnings.showwarning = hooks[3]
        structlog.reset_defaults()


def harmful_in(text: str) -> set[str]:
    """The characters of a text of several lines that a terminal should not get."""
    return {one for one in text if one != "\n" and unicodedata.category(one) in HARMFUL}


def json_lines(text: str) -> list[dict[str, Any]]:
    """Every line of a log in JSON; what is none fails the test. Whoever reads lines may split them as Python does."""
    return [json.loads(line) for line in text.splitlines()]


def events(text: str, log_format: str) -> list[str]:
    """The lines of a log that begin an event, each of which must be one of ours; whatever else stands there must be indented."""
    assert not harmful_in(text), ascii(text)
    text.encode()
    if log_format == "json":
        return [str(line["event"]) for line in json_lines(text)]
    lines = [line for line in text.splitlines() if not line.startswith(_BELOW)]
    assert all(map(_CONSOLE_LINE.match, lines)), ascii(text)
    return [line.split("] ", 1)[1].split(" ", 1)[0] for line in lines]
