"""deploy/backup.sh, with a stand-in for `docker` that prints a dump."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from launcher.plan import ROOT

SCRIPT = ROOT / "deploy" / "backup.sh"
DUMP = (
    "-- MySQL dump 10.13\n"
    "CREATE TABLE `alembic_version` (\n);\n"
    "INSERT INTO `alembic_version` VALUES ('0015');\n"
    "CREATE TABLE `orders` (\n);\n"
    "CREATE TABLE `transactions` (\n);\n"
    "-- Dump completed on 2026-11-30  3:30:00\n"
)


def back_up(
    folder: Path, *arguments: str, dump: str = DUMP, status: int = 0
) -> "subprocess.CompletedProcess[str]":
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "dump").write_text(dump)
    docker = programs / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$*" >{programs}/asked\ncat {programs}/dump\nexit {status}\n'
    )
    docker.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT), str(folder), *arguments],
        env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "backups of StocKing"
    folder.mkdir()
    return folder


def test_dump_is_compressed_and_private(folder: Path) -> None:
    ran = back_up(folder)

    (file,) = folder.iterdir()
    assert (ran.returncode, ran.stdout) == (0, f"{file} is complete.\n"), ran.stderr
    assert gzip.decompress(file.read_bytes()).decode() == DUMP
    assert file.stat().st_mode & 0o077 == 0
    asked = (folder.parent / "bin" / "asked").read_text()
    assert asked.startswith("compose exec -T mysql sh -c ")


@pytest.mark.parametrize(
    ("dump", "status"),
    [
        (DUMP, 1),
        ("", 0),
        (DUMP.rpartition("-- Dump")[0], 0),
        (DUMP.replace("`orders`", "`orders2`"), 0),
        (DUMP.replace("INSERT INTO", "-- INSERT INTO"), 0),
    ],
    ids=["failure", "empty", "no end", "no orders", "no revision"],
)
def test_incomplete_dump_leaves_no_file_and_removes_none(
    folder: Path, dump: str, status: int
) -> None:
    old = folder / "stocking-20250101T000000Z.sql.gz"
    old.touch()

    ran = back_up(folder, "1", dump=dump, status=status)

    assert ran.returncode == 1
    assert ran.stderr.startswith("backup.sh: ")
    assert ran.stdout == ""
    assert list(folder.iterdir()) == [old]


def test_old_backups_are_removed(folder: Path) -> None:
    """Only files with the script's own names, the newest are kept."""
    own = [folder / f"stocking-202501{day:02}T033000Z.sql.gz" for day in range(1, 17)]
    others = [
        folder / name
        for name in ("before-upgrade.sql.gz", "stocking-20250101T033000Z.gz", "stocking-x.sql.gz")
    ]
    for file in own + others:
        file.touch()

    ran = back_up(folder)

    assert ran.returncode == 0, ran.stderr
    kept = sorted(set(folder.iterdir()) - set(others))
    assert kept[:-1] == own[3:]
    assert len(kept) == 14
    assert set(others) < set(folder.iterdir())


@pytest.mark.parametrize("arguments", [["0"], ["-1"], ["x"], ["14 15"]])
def test_bad_number_is_refused(folder: Path, arguments: list[str]) -> None:
    ran = back_up(folder, *arguments)
    assert (ran.returncode, list(folder.iterdir())) == (1, [])
    assert "must be a number" in ran.stderr


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    ran = back_up(tmp_path / "missing")
    assert ran.returncode == 1
    assert "is not a folder" in ran.stderr
