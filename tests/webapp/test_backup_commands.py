"""`flask backup` and `flask restore`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        r"\S+backup\.gz: \d+\.\d MB, revision \d{4}, \d+ tables, \d+ rows, in \d+\.\d s\. "
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
