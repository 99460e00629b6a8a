"""Old backups of the same database are removed, and no other file."""

import gzip
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trading.operations.backups.files import compress, marker_of
from trading.operations.backups.retention import prune, scheduled_name


def scheduled(folder: Path, uri: str, count: int) -> list[Path]:
    """Write files that look like backups of ``uri``, one a day, and return them oldest first."""
    began = datetime(2026, 12, 25, 18, 0, tzinfo=UTC)
    paths = [folder / scheduled_name(began + timedelta(days=day)) for day in range(count)]
    for path in paths:
        with compress(path, marker=marker_of(uri)) as stream:
            stream.write(b"content")
    return paths


@pytest.mark.parametrize(("count", "keep"), [(0, 1), (3, 3), (3, 14), (16, 14), (5, 1)])
def test_pruning_removes_all_but_the_newest(tmp_path: Path, count: int, keep: int) -> None:
    """Across the end of a month and of a year."""
    uri = f"sqlite:///{tmp_path}/x.db"
    paths = scheduled(tmp_path, uri, count)

    removed = prune(tmp_path, uri=uri, keep=keep)

    assert removed == paths[: max(0, count - keep)]
    assert sorted(tmp_path.iterdir()) == paths[len(removed) :]


def test_pruning_keeps_all_files_that_are_not_own_backups(tmp_path: Path) -> None:
    """By name, content, kind and database."""
    uri = "mysql+pymysql://me:secret@127.0.0.1:3306/stocking"
    own = scheduled(tmp_path, uri, 3)
    before_upgrade = tmp_path / "before-upgrade.gz"
    shutil.copy(own[0], before_upgrade)
    (tmp_path / "stocking-20200101T000000Z.gz.part").write_bytes(own[0].read_bytes())
    (tmp_path / "stocking-20200101T000000Z.gz").write_text("notes")
    (tmp_path / "stocking-20200102T000000Z.gz").write_bytes(gzip.compress(b"SQLite format 3"))
    (tmp_path / "stocking-20200103T000000Z.gz").mkdir()
    (tmp_path / "stocking-20200104T000000Z.gz").symlink_to(before_upgrade)
    (tmp_path / "stocking-20200105T000000Z.gz").touch()
    with compress(tmp_path / "stocking-20200106T000000Z.gz", marker=marker_of(f"{uri}2")) as other:
        other.write(b"of another database")
    kept = {*tmp_path.iterdir()} - set(own)

    assert prune(tmp_path, uri=uri, keep=1) == own[:2]

    assert {*tmp_path.iterdir()} == kept | {own[2]}
