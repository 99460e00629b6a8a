"""Tests of the migrations: up, down and up again on each kind of database.

The migrations use no feature that only MariaDB has.
"""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import inspect, text

from tests.support.trading_harness import settings_for
from trading import bootstrap as trading_core
from trading.db.declarative import Base
from trading.exchange.price_grid import LimitRules
from trading.stocks.queries import get_stock
from trading.watchlists.directories import DEFAULT_NAME
from trading.watchlists.queries import directories_of
from webapp import create_app

TABLES = set(Base.metadata.tables)
DAY = (
    "INSERT INTO account_days VALUES (X'{}', '2026-01-02', '2026-01-02 09:00:00', 3, 500, 0, 400,"
    " 0, 0, 0, '2026-01-02 09:01:00')"
)
NO_REDIS = "redis://127.0.0.1:1/0"


def on_database(uri: str, *commands: Callable[[], object]) -> set[str]:
    """Run Flask-Migrate's commands; return the tables that exist afterwards."""
    core = trading_core.build(settings_for(uri, NO_REDIS))
    try:
        with create_app(core).app_context():
            for command in commands:
                command()
        return set(inspect(core.database.engine).get_table_names()) - {"alembic_version"}
    finally:
        core.close()


@pytest.mark.every_database
def test_upgrade_matches_the_models_and_can_be_repeated_after_a_downgrade(empty_uri: str) -> None:
    assert on_database(empty_uri, upgrade, check) == TABLES
    assert on_database(empty_uri, lambda: downgrade(revision="base")) == set()
    assert on_database(empty_uri, upgrade, upgrade, check) == TABLES


def test_check_constraints_of_models_and_migrations_are_the_same(empty_uri: str) -> None:
    """`alembic check` does not compare CHECK constraints."""
    on_database(empty_uri, upgrade)
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    inspector = inspect(core.database.engine)
    found = {
        (table, constraint["name"])
        for table in TABLES
        for constraint in inspector.get_check_constraints(table)
    }
    core.close()
    declared = {
        (table.name, str(constraint.name))
        for table in Base.metadata.sorted_tables
        for constraint in table.constraints
        if constraint.__visit_name__ in {"check_constraint", "table_or_column_check_constraint"}
    }
    assert found == declared
    assert len(declared) > 40


def test_sql_for_mysql_uses_no_feature_of_mariadb(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The SQL is rendered offline for the plain MySQL dialect and creates every table."""
    core = trading_core.build(settings_for("mysql+pymysql://nobody@127.0.0.1:1/none", NO_REDIS))
    with create_app(core).app_context():
        upgrade(sql=True)
    core.close()

    sql = capsys.readouterr().out

    assert {table for table in TABLES if f"CREATE TABLE {table} (" not in sql} == set()
    assert (
        re.findall(
            r"\bRETURNING\b| UUID\b|\bINET[46]?\b|\bSEQUENCE\b|\bPAGE_CHECKSUM\b",
            without_names(sql),
        )
        == []
    )


def without_names(sql: str) -> str:
    """Return the SQL without columns called sequence; MariaDB's keyword is in capitals."""
    return re.sub(r"[a-z_]*sequence[a-z_]*", "", sql)


def test_failed_migration_leaves_nothing_on_sqlite(tmp_path: Path) -> None:
    """The next run begins from the start."""
    uri = f"sqlite:///{tmp_path / 'half.db'}"
    core = trading_core.build(settings_for(uri, NO_REDIS))
    with core.database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE stocks (code TEXT)"))
    core.close()
    with pytest.raises(Exception, match="stocks"):
        on_database(uri, upgrade)
    assert on_database(uri) == {"stocks"}


def test_existing_account_gets_a_default_watchlist_directory(empty_uri: str) -> None:
    """Includes accounts opened before watchlists existed, except for closed ones."""
    on_database(empty_uri, lambda: upgrade(revision="0005"))
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    user = (
        "INSERT INTO users VALUES (X'{}', '{}', '이름', '', 'USER', '2026-01-02"
        " 03:04:05.000006', {})"
    )
    with core.database.engine.begin() as connection:
        connection.exec_driver_sql(user.format("11" * 16, "here@example.com", "NULL"))
        connection.exec_driver_sql(user.format("22" * 16, "gone@example.com", "'2026-01-03'"))

    on_database(empty_uri, upgrade)

    (directory,) = core.read(directories_of, UUID("11" * 16))
    assert (directory.id, directory.name, directory.is_default) == (
        UUID("11" * 16),
        DEFAULT_NAME,
        True,
    )
    assert core.read(directories_of, UUID("22" * 16)) == ()
    core.close()


def test_renamed_tables_keep_their_rows(empty_uri: str) -> None:
    """Migration 0011 renames tables and columns; rows survive an upgrade, a downgrade and an
    upgrade.
    """
    on_database(empty_uri, lambda: upgrade(revision="0010"))
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    user = "11" * 16
    with core.database.engine.begin() as connection:
        for statement in (
            (
                f"INSERT INTO users VALUES (X'{user}', 'a@example.com', '이름', '', 'USER',"
                " '2026-01-02', NULL)"
            ),
            "INSERT INTO audit_looks VALUES (1, '2026-01-02 03:04:05', 7, 80)",
            DAY.format(user),
        ):
            connection.exec_driver_sql(statement)

    on_database(empty_uri, upgrade, lambda: downgrade(revision="0010"), upgrade)

    with core.database.engine.connect() as connection:
        run = connection.exec_driver_sql("SELECT accounts, duration_ms FROM audit_runs").one()
        day = connection.exec_driver_sql(
            "SELECT last_sequence, cash_balance, net_flow FROM daily_snapshots"
        ).one()
    core.close()
    assert tuple(run) == (7, 80)
    assert tuple(day) == (3, 500, 400)


@pytest.mark.every_database
def test_existing_stocks_have_the_usual_price_limits(empty_uri: str) -> None:
    """Migration 0012 adds columns with defaults; a downgrade keeps the rows."""
    on_database(empty_uri, lambda: upgrade(revision="0011"))
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    with core.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO stocks (code, name, market, kind, status, updated_at)"
            " VALUES ('A005930', '삼성전자', 'KOSPI', 'STOCK', 'HALTED', '2026-01-02')"
        )

    on_database(empty_uri, upgrade)
    stock = core.read(get_stock, "A005930")
    on_database(empty_uri, lambda: downgrade(revision="0011"), upgrade)

    assert stock.limit_rules == LimitRules()
    assert core.read(get_stock, "A005930") == stock
    core.close()


@pytest.mark.every_database
def test_existing_sessions_keep_their_refresh_token(empty_uri: str) -> None:
    """Migration 0016 moves it to a table; a downgrade keeps the newest unused one."""
    on_database(empty_uri, lambda: upgrade(revision="0015"))
    core = trading_core.build(settings_for(empty_uri, NO_REDIS))
    user, session, ended, token, later = (f"{number:032x}" for number in range(1, 6))
    with core.database.engine.begin() as connection:
        for statement in (
            (
                f"INSERT INTO users VALUES (X'{user}', 'a@example.com', '이름', '', 'USER',"
                " '2026-01-02', NULL)"
            ),
            (
                f"INSERT INTO sign_in_sessions VALUES (X'{session}', X'{user}', X'{token}',"
                " '2026-01-02', '2026-01-16', NULL, NULL)"
            ),
        ):
            connection.exec_driver_sql(statement)

    on_database(empty_uri, upgrade)
    with core.database.engine.begin() as connection:
        for statement in (
            f"INSERT INTO refresh_tokens VALUES (X'{later}', X'{session}', '2026-01-17', NULL)",
            (
                f"INSERT INTO sign_in_sessions VALUES (X'{ended}', X'{user}',"
                " '2026-01-02', '2026-01-16', NULL, NULL)"
            ),
        ):
            connection.exec_driver_sql(statement)
    on_database(empty_uri, lambda: downgrade(revision="0015"), upgrade)

    with core.database.engine.connect() as connection:
        kept = connection.exec_driver_sql(
            "SELECT id, session_id, used_at FROM refresh_tokens"
        ).all()
        sessions = connection.exec_driver_sql("SELECT id FROM sign_in_sessions").all()
    core.close()
    assert [tuple(row) for row in kept] == [(bytes.fromhex(later), bytes.fromhex(session), None)]
    assert [row[0] for row in sessions] == [bytes.fromhex(session)]
