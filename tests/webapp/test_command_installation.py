"""`flask` commands as processes find the running installation and name its database."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT
from trading.config.installation import write_environment_file

NO_REDIS = "redis://127.0.0.1:1/0"


def flask(var: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STOCKING_VAR": str(var), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def var(tmp_path: Path, migrated_sqlite: str) -> Path:
    write_environment_file(tmp_path, {"DATABASE_URI": migrated_sqlite, "REDIS_URL": NO_REDIS})
    return tmp_path


def test_commands_use_and_name_the_database_of_the_installation(
    var: Path, migrated_sqlite: str
) -> None:
    file = migrated_sqlite.removeprefix("sqlite:///")
    for words in (["users", "halted"], ["admin-log"]):
        ran = flask(var, *words)
        assert (ran.returncode, ran.stderr) == (0, f"Database: {file} (SQLite)\n")


def test_explicit_database_takes_precedence(var: Path, tmp_path: Path) -> None:
    ran = flask(var, "users", "halted", DATABASE_URI=f"sqlite:///{tmp_path}/other.db")
    assert ran.returncode == 1
    assert f"The database file {tmp_path}/other.db does not exist" in ran.stderr


def test_password_of_the_database_is_not_shown(tmp_path: Path) -> None:
    uri = "mysql+pymysql://me:a-secret@127.0.0.1:1/stocking"
    write_environment_file(tmp_path, {"DATABASE_URI": uri, "REDIS_URL": NO_REDIS})
    ran = flask(tmp_path, "status")
    assert ran.stderr.splitlines()[0] == "Database: stocking on 127.0.0.1:1"
    assert "a-secret" not in ran.stdout + ran.stderr


def test_output_for_a_file_has_no_other_line(var: Path) -> None:
    assert flask(var, "database", "describe").stderr == ""


def test_damaged_environment_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "stocking.env").write_text("DATABASE_URI='")
    ran = flask(tmp_path, "audit")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert f"{tmp_path}/stocking.env: is damaged" in ran.stderr


def test_state_folder_without_an_installation_creates_no_database(tmp_path: Path) -> None:
    """Whichever command is run."""
    for words in (["status"], ["audit"], ["users", "halted"], ["backup"]):
        ran = flask(tmp_path, *words, REDIS_URL=NO_REDIS)
        assert ran.returncode == 1
        assert f"The database file {tmp_path}/stocking.db does not exist" in ran.stderr
        assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
