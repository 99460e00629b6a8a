"""`flask backup` and `flask restore`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from flask_migrate import downgrade, upgrade
from sqlalchemy import text

from tests.support.trading_harness import TradingHarness, settings_for
from tests.webapp.client import Api
from trading import bootstrap as trading_core
from webapp import create_app


def flask(app: Any, *arguments: str | Path) -> Result:
    return CliRunner().invoke(FlaskGroup(create_app=lambda: app), list(map(str, arguments)))


@contextmanager
def installation(database: Path, redis_url: str) -> Iterator[Any]:
    """Yield the application of another installation."""
    core = trading_core.build(settings_for(f"sqlite:///{database}", redis_url))
    try:
        yield create_app(core)
    finally:
        core.close()


def test_backup_is_written_restored_and_audited(
    sqlite_api: Api, tmp_path: Path, valkey_url: str
) -> None:
    """The output has size and duration, and warns about data left in Redis."""
    sqlite_api.harness.tick(70_000)
    sqlite_api.bought(sqlite_api.person())
    file = tmp_path / "backup.gz"

    written = flask(sqlite_api.app, "backup", file)
    again = flask(sqlite_api.app, "backup", file)
    with installation(tmp_path / "other.db", valkey_url) as other:
        restored = flask(other, "restore", file)
        twice = flask(other, "restore", file)

    assert written.exit_code == 0, written.output
    assert re.fullmatch(
        r"\S+backup\.gz: \d+ kB, revision \d{4}, \d+ tables, \d+ rows, in \d+\.\d s\. "
        r"It was read back and is complete\.\n",
        written.output,
    )
    assert (again.exit_code, twice.exit_code) == (1, 1)
    assert "is not overwritten" in again.output
    assert "is not empty" in twice.output
    assert restored.exit_code == 0, restored.output
    first, redis, *audit = restored.output.splitlines()
    assert ", restored in " in first
    assert redis.startswith("Redis still holds data from after the backup")
    assert re.fullmatch(r"\d+ invariants, 0 broken\.", audit[-1])


def test_restore_reports_a_breach(sqlite_api: Api, tmp_path: Path) -> None:
    """The exit code is the audit's."""
    sqlite_api.harness.tick(70_000)
    sqlite_api.bought(sqlite_api.person())
    with sqlite_api.harness.core.database.engine.begin() as connection:
        connection.execute(text("UPDATE virtual_balances SET cash_balance = cash_balance + 1"))
    flask(sqlite_api.app, "backup", tmp_path / "backup.gz")

    with installation(tmp_path / "other.db", "redis://127.0.0.1:1/0") as other:
        restored = flask(other, "restore", tmp_path / "backup.gz")

    assert restored.exit_code == 1
    assert "FAIL" in restored.output


def test_restored_backup_of_an_older_release_needs_migrations_first(
    tmp_path: Path, sqlite_harness: TradingHarness
) -> None:
    redis = sqlite_harness.settings.redis_url.get_secret_value()
    with installation(tmp_path / "old.db", redis) as old:
        with old.app_context():
            upgrade()
            downgrade(revision="0007")
        assert flask(old, "backup", tmp_path / "old.gz").exit_code == 0

    with installation(tmp_path / "new.db", redis) as new:
        restored = flask(new, "restore", tmp_path / "old.gz")
        audited = [flask(new, "db", "upgrade"), flask(new, "audit")]

    assert restored.exit_code == 0
    assert "Run flask db upgrade, then flask audit." in restored.output
    assert "invariants" not in restored.output
    assert [result.exit_code for result in audited] == [0, 0]


def test_backup_folder_is_pruned(sqlite_api: Api, tmp_path: Path) -> None:
    """Files are named by their time. Other files are kept."""
    folder, clock = tmp_path / "backups", sqlite_api.harness.clock
    folder.mkdir()
    (folder / "before-upgrade.gz").write_text("precious")
    for _ in range(4):
        result = flask(sqlite_api.app, "backup", "--keep", "2", folder)
        assert result.exit_code == 0, result.output
        clock.advance(days=1)

    assert result.output.splitlines()[-1] == f"{folder}/stocking-20261121T010000Z.gz was removed."
    assert sorted(path.name for path in folder.iterdir()) == [
        "before-upgrade.gz",
        "stocking-20261122T010000Z.gz",
        "stocking-20261123T010000Z.gz",
    ]


def test_failed_backup_removes_nothing(sqlite_api: Api, tmp_path: Path) -> None:
    assert flask(sqlite_api.app, "backup", tmp_path).exit_code == 0
    before = sorted(tmp_path.iterdir())
    sqlite_api.harness.clock.advance(days=1)

    with installation(tmp_path / "wrong.db", "redis://127.0.0.1:1/0") as wrong:
        missing = flask(wrong, "backup", "--keep", "1", tmp_path)
        (tmp_path / "wrong.db").touch()
        empty = flask(wrong, "backup", "--keep", "1", tmp_path)
    (tmp_path / "wrong.db").unlink()

    assert (missing.exit_code, empty.exit_code) == (1, 1)
    assert "does not exist" in missing.output
    assert "has none of this product's tables" in empty.output
    assert sorted(tmp_path.iterdir()) == before


def test_keep_needs_a_folder(sqlite_api: Api, tmp_path: Path) -> None:
    """A file with a name of its own would never be removed."""
    result = flask(sqlite_api.app, "backup", "--keep", "3", tmp_path / "before-upgrade.gz")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert result.output.startswith("Error: --keep needs a folder: ")


def test_backup_without_a_path_is_in_the_state_folder(
    sqlite_api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only this user may read the folder."""
    monkeypatch.setenv("STOCKING_VAR", str(tmp_path / "var"))
    assert flask(sqlite_api.app, "backup", "--keep", "14").exit_code == 0
    (file,) = (tmp_path / "var" / "backups").iterdir()
    assert file.name == "stocking-20261120T010000Z.gz"
    assert file.parent.stat().st_mode & 0o077 == 0


def test_backup_reports_a_database_of_an_older_release(tmp_path: Path) -> None:
    """It is what an operator needs before an upgrade."""
    with installation(tmp_path / "old.db", "redis://127.0.0.1:1/0") as old:
        with old.app_context():
            upgrade(revision="0009")
        result = flask(old, "backup", tmp_path / "old.gz")

    assert result.exit_code == 0, result.output
    last = result.output.splitlines()[-1]
    assert last.startswith("The database is of an older release: revision 0009, and this release ")
