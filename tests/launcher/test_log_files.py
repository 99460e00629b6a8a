"""Logs of earlier starts are kept, up to a number of files of a size."""

from logging import makeLogRecord
from pathlib import Path

import pytest

from launcher import log_files
from launcher.log_files import OLDER_KEPT, begin_log


def write(path: Path, *lines: str) -> None:
    handler = begin_log(path)
    for line in lines:
        handler.emit(makeLogRecord({"msg": line}))
    handler.close()


def test_restart_keeps_the_lines_of_earlier_starts(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    for start in ("first", "second", "third"):
        write(path, f"{start} start", "it works")

    texts = [path.read_text(), *(Path(f"{path}.{n}").read_text() for n in (1, 2))]
    assert [text.split()[0] for text in texts] == ["third", "second", "first"]


def test_number_and_size_of_files_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "SIZE_MAX", 1_000)
    path = tmp_path / "worker.log"
    for start in range(OLDER_KEPT + 5):
        write(path, *(f"start {start} " + "x" * 90 for _ in range(15)))

    files = list(tmp_path.iterdir())
    assert len(files) == OLDER_KEPT + 1
    assert all(file.stat().st_size <= 1_000 for file in files)


def test_start_that_wrote_nothing_uses_up_no_file(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    write(path, "evidence")
    for _ in range(OLDER_KEPT + 1):
        write(path)

    assert Path(f"{path}.1").read_text() == "evidence\n"
    assert path.read_text() == ""
