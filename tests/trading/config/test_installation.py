"""The environment file by which commands find the running installation."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.config.installation import (
    FILE_NAME,
    command_environment,
    state_folder,
    write_environment_file,
)
from trading.config.settings import SettingsError

URI = "mysql+pymysql://me:p'a\"s$s #w%20@127.0.0.1:3307/stocking?charset=utf8mb4"


def test_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    write_environment_file(tmp_path, {"DATABASE_URI": URI, "TOSS_API_URL": "http://127.0.0.1:1"})
    path = write_environment_file(tmp_path, {"DATABASE_URI": URI})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    found = command_environment({"STOCKING_VAR": str(tmp_path)})
    assert found == {"STOCKING_VAR": str(tmp_path), "DATABASE_URI": URI}


def test_explicit_variables_take_precedence(tmp_path: Path) -> None:
    """An empty one counts as not given."""
    write_environment_file(tmp_path, {"DATABASE_URI": URI, "REDIS_URL": "redis://127.0.0.1:1/0"})
    own = {"STOCKING_VAR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:2/0", "DATABASE_URI": ""}

    found = command_environment(own)

    assert (found["DATABASE_URI"], found["REDIS_URL"]) == (URI, "redis://127.0.0.1:2/0")


def test_other_variables_and_those_of_single_processes_are_not_stored(tmp_path: Path) -> None:
    others = {"PATH": "/bin", "AWS_SECRET": "x", "LOG_FORMAT": "json", "LIVENESS_FILE": "alive"}
    path = write_environment_file(tmp_path, {**others, "STARTING_CASH": "5"})
    lines = path.read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["STARTING_CASH=5"]


def test_without_a_file_the_database_is_in_the_state_folder(tmp_path: Path) -> None:
    """As for the launcher."""
    found = command_environment({"STOCKING_VAR": str(tmp_path / "var")})
    assert found["DATABASE_URI"] == f"sqlite:///{tmp_path}/var/stocking.db"
    assert not (tmp_path / "var").exists()
    assert state_folder({}).name == "var"


def test_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("DATABASE_URI='sqlite")
    with pytest.raises(SettingsError, match=r"stocking\.env: is damaged"):
        command_environment({"STOCKING_VAR": str(tmp_path)})
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(SettingsError, match=r"stocking\.env: cannot be read \(Is a directory\)"):
        command_environment({"STOCKING_VAR": str(tmp_path)})


def test_home_folder_of_an_unknown_user_is_a_fault() -> None:
    with pytest.raises(SettingsError, match="correct STOCKING_VAR"):
        command_environment({"STOCKING_VAR": "~no-such-user/var"})


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
def test_every_value_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    folder = tmp_path_factory.mktemp("var")
    write_environment_file(folder, {"DATABASE_URI": URI, "PORTONE_STORE_ID": value})
    found = command_environment({"STOCKING_VAR": str(folder)})
    assert found.get("PORTONE_STORE_ID", "") == value


def test_shell_can_source_the_file(tmp_path: Path) -> None:
    path = write_environment_file(tmp_path, {"DATABASE_URI": URI})
    ran = subprocess.run(
        ["sh", "-c", '. "$1"; printf %s "$DATABASE_URI"', "sh", str(path)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == URI
