"""Name scheduled backups by their time, and remove old ones."""

import re
from datetime import UTC, datetime
from pathlib import Path

from trading.operations.backups.files import BackupFailed, has_marker, marker_of

_NAME = re.compile(r"stocking-[0-9]{8}T[0-9]{6}Z\.gz")


def scheduled_name(now: datetime) -> str:
    """Return the name of a backup written at ``now``; names sort by time."""
    return f"stocking-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.gz"


def is_scheduled_name(name: str) -> bool:
    """Return whether a file of this name may be removed as an old backup."""
    return _NAME.fullmatch(name) is not None


def prune(folder: Path, *, uri: str, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` backups of the database at ``uri``; return the removed.

    Only files with a scheduled name and this database's marker are counted and removed. Raise
    BackupFailed if one cannot be removed.
    """
    marker = marker_of(uri)
    try:
        own = sorted(
            path
            for path in folder.iterdir()
            if is_scheduled_name(path.name)
            and path.is_file()
            and not path.is_symlink()
            and has_marker(path, marker)
        )
        old = own[: max(0, len(own) - keep)]
        for path in old:
            path.unlink()
    except OSError as error:
        raise BackupFailed(
            f"Old backups in {folder} cannot be removed: {error.strerror}."
        ) from None
    return old
