"""Log files of the processes: each start begins new ones and keeps those of earlier starts."""

from logging.handlers import RotatingFileHandler
from pathlib import Path

SIZE_MAX = 10_000_000  # bytes of one file
OLDER_KEPT = 9


def begin_log(path: Path) -> RotatingFileHandler:
    """Return a handler that writes a new file at ``path``.

    Older files are renamed to ``path`` with ``.1`` (the newest) to ``.9``, at each start and
    whenever a file is full.
    """
    handler = RotatingFileHandler(path, maxBytes=SIZE_MAX, backupCount=OLDER_KEPT, encoding="utf-8")
    if path.stat().st_size:
        handler.doRollover()
    return handler
