"""`flask status`, also while servers are unavailable."""

import json
import os
import re
import socket
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from flask_migrate import upgrade
from sqlalchemy import text

from launcher.plan import ROOT
from launcher.ports import free_port
from tests.support.log_lines import HOSTILE, unsafe_characters
from tests.support.running_system import report_processes
from tests.support.trading_harness import TradingHarness, settings_for
from tests.trading.orders.steps import halt
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.webapp.client import Api, api_on
from trading import __version__
from trading import bootstrap as trading_core
from trading.config.processes import ProcessKind
from trading.config.settings import Settings
from trading.exchange.order_types import Side
from trading.exchange.time import KST
from trading.marketdata.health import RelayerHealth
from trading.redis import keys
from webapp import create_app


def run_status(app: Any, *arguments: str) -> Result:
    return CliRunner().invoke(FlaskGroup(create_app=lambda: app), ["status", *arguments])


def report_system(harness: TradingHarness, *, without: str = "") -> None:
    url = harness.settings.redis_url.get_secret_value()
    report_processes(harness.core.redis, url, harness.clock(), without=without)


def facts(app: Any, *, exit_code: int = 0) -> dict[str, Any]:
    """Return the JSON output of the command."""
    result = run_status(app, "--json")
    assert result.exit_code == exit_code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@contextmanager
def app_on(settings: Settings) -> Iterator[Any]:
    """Yield the application on servers that may be unavailable."""
    core = trading_core.build(settings)
    try:
        yield create_app(core)
    finally:
        core.close()


def test_status_shows_due_work_queues_halts_and_alerts(api: Api) -> None:
    """On each kind of database, with times in KST."""
    harness = api.harness
    report_system(harness)
    harness.tick(70_000)
    user = harness.user()
    for _ in range(3):
        harness.place(user, Side.BUY, 1)
    harness.clock.advance(seconds=7)
    harness.core.redis.rpush("orders.execute", "one", "two")
    halt(harness, user)

    found = facts(api.app)

    assert found["at"] == "2026-11-20T10:00:07+09:00"
    assert found["faults"] == []
    assert found["versions"]["stocking"] == __version__
    assert found["migrations"]["current"] == found["migrations"]["head"]
    assert found["migrations"]["pending"] == []
    assert found["rows"]["orders"] == {"rows": 3, "estimated": False}
    assert found["rows"]["users"] == {"rows": 1, "estimated": False}
    assert found["due"]["execute"] == {"count": 3, "oldest_age_s": 7}
    assert found["due"]["settle"] == {"count": 0, "oldest_age_s": None}
    assert found["queues"]["orders.execute"] == 2
    assert sum(found["queues"].values()) == 2
    assert found["beat"] == {"holder": "machine:42"}
    assert (found["feed"]["status"], found["feed"]["reasons"]) == ("HEALTHY", [])
    assert [one["kind"] for one in found["processes"]["running"]] == sorted(ProcessKind)
    assert datetime.fromisoformat(found["trading"]["halted_since"]) == harness.clock()
    assert found["payments"]["open_alerts"] == 0
    assert found["settings"]["fill_profile"] == "simple"
    on_screen = run_status(api.app)
    assert on_screen.exit_code == 0
    assert on_screen.output.splitlines()[0] == "OK"
    for printed in (
        "2026-11-20 10:00:07+09:00",
        "the oldest for 7 s",
        "machine:42",
        "HEALTHY",
        f":{os.getpid()}",
        __version__,
    ):
        assert printed in on_screen.output
    assert len(on_screen.output.splitlines()) < 60


def test_each_problem_is_one_line_with_its_runbook(sqlite_harness: TradingHarness) -> None:
    """Before everything else, by the rules of the alerts. The exit code is 1."""
    harness = sqlite_harness
    report_system(harness, without="worker")
    harness.tick(70_000)
    harness.place(harness.user(), Side.BUY, 1)
    harness.clock.advance(seconds=80)
    app = api_on(harness).app

    found = facts(app, exit_code=1)
    on_screen = run_status(app)

    lines = on_screen.stdout.splitlines()
    assert lines[0] == (
        "CRITICAL ProcessMissing: No worker is running. docs/operations/runbook.md#processmissing"
    )
    page = "docs/operations/runbook.md#ordersoverdue"
    waits = "Work in stage execute has waited for 80 s, since 2026-11-20 10:00:00+09:00."
    assert f"CRITICAL OrdersOverdue: {waits} {page}" in lines[:5]
    assert "OK" not in lines
    assert on_screen.exit_code == 1
    assert found["faults"] == [problem["text"] for problem in found["problems"]]
    assert {"name": "OrdersOverdue", "severity": "critical", "text": waits, "page": page} in found[
        "problems"
    ]


def test_silent_workers_are_reported_with_their_last_report(
    sqlite_harness: TradingHarness,
) -> None:
    report_system(sqlite_harness)
    redis = sqlite_harness.core.redis
    (worker,) = [one for one in redis.zrange(keys.PROCESSES, 0, -1) if one.startswith("worker ")]
    redis.zincrby(keys.PROCESSES, -80, worker)
    at = datetime.fromtimestamp(redis.zscore(keys.PROCESSES, worker) or 0, KST)

    result = run_status(api_on(sqlite_harness).app)

    since = at.isoformat(sep=" ", timespec="seconds")
    assert result.stdout.startswith(
        f"CRITICAL ProcessMissing: No worker has responded since {since}. docs/"
    )


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_for_terminals(
    sqlite_harness: TradingHarness,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    coloured: bool,
) -> None:
    """FORCE_COLOR stands for a terminal, NO_COLOR wins."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TERM", "xterm-256color")
    result = run_status(api_on(sqlite_harness).app)
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", result.stdout)) is coloured


def test_version_is_the_projects() -> None:
    """It is in two places, because the image has no pyproject.toml."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_no_secret_is_shown(database_server: Any, valkey_url: str) -> None:
    """Neither passwords nor keys, in both formats, also of unavailable servers."""
    secrets = [
        "a-database-password",
        "a-redis-password",
        "a-broker-password",
        "a signing key that is secret",
    ]
    port = database_server.port
    settings = Settings.model_validate(
        {
            "database_uri": f"mysql+pymysql://me:{secrets[0]}@127.0.0.1:{port}/nothing",
            "redis_url": f"redis://:{secrets[1]}@{valkey_url.removeprefix('redis://')}",
            "celery_broker_url": f"redis://:{secrets[2]}@127.0.0.1:{free_port()}/0",
            "jwt_secret_key": secrets[3],
        }
    )
    with app_on(settings) as app:
        printed = run_status(app).output + run_status(app, "--json").output
        shown = [getattr(settings, name) for name in Settings.model_fields]

    secrets += [one.get_secret_value() for one in shown if hasattr(one, "get_secret_value")]
    assert [secret for secret in secrets if secret in printed] == []
    assert "127.0.0.1" in printed


def test_status_without_redis(sqlite_harness: TradingHarness) -> None:
    """Sections from Redis are missing; those from the database are shown."""
    away = sqlite_harness.settings.database_uri.get_secret_value()
    with app_on(settings_for(away, f"redis://127.0.0.1:{free_port()}/0")) as app:
        found = facts(app, exit_code=1)
        on_screen = run_status(app)

    (fault,) = found["faults"]
    assert fault.startswith("The Redis server 127.0.0.1:")
    assert fault.endswith(" does not answer: start it, or correct REDIS_URL.")
    for name in ("redis", "queues", "beat", "feed"):
        assert found[name] == {"missing": "Redis does not answer"}
    assert found["rows"]["orders"] == {"rows": 0, "estimated": False}
    assert on_screen.exit_code == 1
    assert " does not answer: start it, or correct REDIS_URL." in on_screen.output


def test_status_without_the_database(valkey_url: str) -> None:
    port = free_port()
    with app_on(settings_for(f"mysql+pymysql://me@127.0.0.1:{port}/x", valkey_url)) as app:
        found = facts(app, exit_code=1)

    fault = found["faults"][0]
    assert fault.startswith(f"The database server 127.0.0.1:{port} can't be reached (")
    for name in ("database", "migrations", "rows", "due", "trading", "payments", "audit"):
        assert found[name] == {"missing": "the database does not answer"}
    assert found["queues"]["orders.execute"] == 0
    assert found["versions"]["stocking"] == __version__


def test_silent_servers_time_out() -> None:
    """Paused servers accept connections and never answer; they are shown as missing."""
    with socket.socket() as database, socket.socket() as redis:
        for silent in (database, redis):
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
        address = f"mysql+pymysql://me@127.0.0.1:{database.getsockname()[1]}/x"
        with app_on(settings_for(address, f"redis://127.0.0.1:{redis.getsockname()[1]}/0")) as app:
            found = facts(app, exit_code=1)

    of_database, of_redis = found["faults"]
    assert of_database.endswith(" stopped answering: check the server, and try again.")
    assert of_redis.endswith(" does not answer: start it, or correct REDIS_URL.")


@pytest.mark.parametrize("revision", [None, "0005"])
def test_pending_migrations_are_listed(
    tmp_path: Path, valkey_url: str, revision: str | None
) -> None:
    """For an older database and one without tables, with the sections that are missing."""
    (tmp_path / "old.db").touch()
    with app_on(settings_for(f"sqlite:///{tmp_path}/old.db", valkey_url)) as app:
        if revision is not None:
            with app.app_context():
                upgrade(revision=revision)
        found = facts(app, exit_code=1)

    assert found["migrations"]["current"] == revision
    assert found["migrations"]["pending"][0] == ("0001" if revision is None else "0006")
    assert found["migrations"]["pending"][-1] == found["migrations"]["head"]
    assert found["faults"][0] == "Migrations are pending: flask db upgrade."
    assert "missing" in found["audit"]


def test_missing_tables_are_a_problem(tmp_path: Path, valkey_url: str) -> None:
    """As after a restore by hand that lost some."""
    uri = f"sqlite:///{tmp_path}/partial.db"
    with app_on(settings_for(uri, valkey_url)) as app:
        with app.app_context():
            upgrade()
        with closing(sqlite3.connect(tmp_path / "partial.db")) as database, database:
            database.execute("DROP TABLE pending_fills")
            database.execute("DROP TABLE order_executions")
        found = facts(app, exit_code=1)

    assert found["migrations"]["pending"] == []
    assert (
        "The tables do not show rows, due: the query failed: OperationalError." in found["faults"]
    )


def test_database_of_a_newer_release(sqlite_harness: TradingHarness) -> None:
    """Nothing is pending."""
    engine = sqlite_harness.core.database.engine
    with engine.begin() as connection:
        before = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        found = facts(api_on(sqlite_harness).app, exit_code=1)
    finally:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE alembic_version SET version_num = :before"), {"before": before}
            )

    assert found["faults"][0] == (
        "The database belongs to another release with unknown migrations."
    )


def test_control_characters_are_escaped(sqlite_harness: TradingHarness) -> None:
    """In texts from Toss, administrators and Redis."""
    harness = sqlite_harness
    now = harness.clock()
    health = RelayerHealth(
        pid=1,
        started_at=now,
        updated_at=now,
        connected=False,
        why_disconnected=HOSTILE.encode(errors="replace").decode(),
    )
    harness.core.redis.set(keys.RELAYER_HEALTH, health.to_json())
    harness.core.redis.set(keys.BEAT_LOCK, HOSTILE.encode(errors="replace"))

    printed = run_status(api_on(harness).app).output

    assert "forged" in printed
    assert unsafe_characters(printed) == set()
    assert not [line for line in printed.splitlines() if line.startswith("2026-01-01")]


def test_open_alerts_are_shown(sqlite_harness: TradingHarness) -> None:
    """With their number and the oldest."""
    harness = sqlite_harness
    report_system(harness)
    app = api_on(harness).app
    assert facts(app)["payments"] == {"open_alerts": 0, "oldest_alert_at": None}

    partly_refunded_payment(harness, harness.user())
    since = harness.clock()
    harness.clock.advance(minutes=5)

    found = facts(app, exit_code=1)["payments"]
    assert found["open_alerts"] == 1
    assert datetime.fromisoformat(found["oldest_alert_at"]) == since
