"""Tests of the transaction runner: commits, rollbacks, messages and isolation."""

import signal
import threading
from contextlib import closing

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from launcher.ports import free_port
from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.db.counter import Counter
from trading.db.ids import new_id
from trading.db.transactions import Database, DatabaseUnavailable, after_commit, before_commit


class UseCaseError(Exception):
    """An error of a use case."""


def test_result_is_returned_after_the_commit(harness: TradingHarness) -> None:
    counter = Counter(harness)

    def work(session: Session) -> str:
        counter.step(session)
        return "done"

    assert harness.core.database.transaction(work) == "done"
    assert counter.value(harness.core.database) == 1


def test_error_of_the_work_rolls_back_and_is_raised_unchanged(harness: TradingHarness) -> None:
    """No message is sent, and the work is not retried."""
    counter, attempts = Counter(harness), []

    def work(session: Session) -> None:
        attempts.append(1)
        counter.step(session)
        after_commit(session, "never")
        raise UseCaseError

    with pytest.raises(UseCaseError):
        harness.core.database.transaction(work)
    assert (counter.value(harness.core.database), len(attempts), harness.sent) == (0, 1, [])


def test_constraint_violation_is_not_retried(harness: TradingHarness) -> None:
    attempts = []

    def work(session: Session) -> None:
        attempts.append(1)
        session.execute(text("UPDATE virtual_balances SET reserved_cash = -1"))

    harness.user()
    with pytest.raises(DBAPIError, match=r"(?i)constraint"):
        harness.core.database.transaction(work)
    assert len(attempts) == 1


def test_messages_are_sent_after_the_commit(database_uri: str, valkey_url: str) -> None:
    """Another connection sees the rows when the messages are delivered; they keep their order."""
    with opened(settings_for(database_uri, valkey_url)) as harness:
        counter = Counter(harness)
        deliveries: list[tuple[list[object], int]] = []
        database = Database(
            database_uri,
            deliver=lambda sent: deliveries.append((list(sent), counter.value(database))),
        )

        def work(session: Session) -> None:
            after_commit(session, "one")
            counter.step(session)
            after_commit(session, "two")

        database.transaction(work)
        database.close()
    assert deliveries == [(["one", "two"], 1)]


def test_before_commit_work_runs_once_after_all_other_statements(harness: TradingHarness) -> None:
    """Registering it twice runs it once; its error rolls everything back."""
    counter, counts = Counter(harness), []

    def before(session: Session) -> None:
        counts.append(counter.stored(session))
        after_commit(session, "before commit")
        if len(counts) == 2:
            raise UseCaseError

    def work(session: Session) -> None:
        before_commit(session, before)
        counter.step(session)
        before_commit(session, before)

    start = harness.core.read(counter.stored)
    harness.core.database.transaction(work)
    assert (counts, harness.sent) == ([start + 1], ["before commit"])
    with pytest.raises(UseCaseError):
        harness.core.database.transaction(work)
    assert (counter.value(harness.core.database), len(harness.sent)) == (1, 1)


def test_read_rolls_back_writes(harness: TradingHarness) -> None:
    counter = Counter(harness)
    harness.core.read(counter.step)
    assert counter.value(harness.core.database) == 0


def test_snapshot_does_not_see_later_commits(harness: TradingHarness) -> None:
    counter, database = Counter(harness), harness.core.database

    def work(session: Session) -> tuple[int, int]:
        before = counter.stored(session)
        database.transaction(counter.step)
        return before, counter.stored(session)

    before, after = database.snapshot(work)
    assert before == after
    assert counter.value(database) == 1


def test_readers_do_not_wait_for_writers(harness: TradingHarness) -> None:
    """A reader gets the state before the open transaction; waiting would never end."""
    counter, database = Counter(harness), harness.core.database

    def work(session: Session) -> int:
        counter.step(session)
        return counter.value(database)

    assert database.transaction(work) == 0


def test_concurrent_read_modify_write_on_sqlite_loses_no_update(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """BEGIN IMMEDIATE serializes the transactions of two threads."""
    steps = 40
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        counter, database = Counter(harness), harness.core.database

        def add_one(session: Session) -> None:
            value = counter.stored(session)
            session.execute(
                text("UPDATE virtual_balances SET transaction_count = :value"), {"value": value + 1}
            )

        def run() -> None:
            for _ in range(steps):
                database.transaction(add_one)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counter.value(database) == 2 * steps


@pytest.mark.parametrize("method", ["transaction", "read", "snapshot"])
def test_unreachable_server_raises_database_unavailable(method: str) -> None:
    database = Database(f"mysql+pymysql://root@127.0.0.1:{free_port()}/none")
    with pytest.raises(DatabaseUnavailable):
        getattr(database, method)(lambda session: session.execute(text("SELECT 1")))
    database.close()


def test_exhausted_pool_raises_database_unavailable(server_uri: str) -> None:
    database = Database(server_uri, pool_size=1)
    with database.engine.connect(), database.engine.connect(), pytest.raises(DatabaseUnavailable):
        database.transaction(lambda session: session.execute(text("SELECT 1")))
    database.close()


@pytest.mark.parametrize("method", ["transaction", "read"])
def test_exception_that_interrupts_a_statement_is_raised_without_a_retry(
    server_uri: str, method: str
) -> None:
    """For example a task's time limit. The next transaction gets a working connection."""
    database, attempts = Database(server_uri, pool_size=1), []

    def interrupt(*_signal: object) -> None:
        raise UseCaseError

    def work(session: Session) -> None:
        attempts.append(1)
        session.execute(text("SELECT SLEEP(10)"))

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(UseCaseError):
            getattr(database, method)(work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(attempts) == 1
    assert getattr(database, method)(lambda session: session.scalar(text("SELECT 1"))) == 1
    database.close()


def test_statements_are_counted_only_inside_the_block(harness: TradingHarness) -> None:
    """Other tests rely on this counter: it counts each statement once and ends with its block."""
    counter, database = Counter(harness), harness.core.database
    with statements_counted(database.engine) as statements:
        database.transaction(counter.step)
    counter.value(database)
    updates = [statement for statement in statements if statement.startswith("UPDATE")]
    assert len(updates) == 1
    assert not any(statement.startswith("SELECT transaction_count") for statement in statements)


def test_connections_share_one_tls_context(server_uri: str) -> None:
    """Creating a context reads all certificates of the machine."""
    database = Database(server_uri)
    with closing(database), database.engine.connect() as one, database.engine.connect() as other:
        first, second = (connection.connection.driver_connection for connection in (one, other))

        assert first is not second
        assert first.ctx is second.ctx


def test_mariadb_does_not_convert_long_lists_to_subqueries(migrated_mariadb: str) -> None:
    """By default MariaDB converts a list of a thousand values to a subquery and may lock every row
    of the table.
    """
    ids = bindparam("ids", [new_id().bytes for _ in range(1_000)], expanding=True)
    plan = text("EXPLAIN SELECT 1 FROM orders WHERE id IN :ids FOR UPDATE").bindparams(ids)
    database = Database(migrated_mariadb)
    threshold, steps = database.read(
        lambda session: (
            session.scalar(text("SELECT @@SESSION.in_predicate_conversion_threshold")),
            session.execute(plan).mappings().all(),
        )
    )
    database.close()
    assert threshold == 0
    assert [step["select_type"] for step in steps] == ["SIMPLE"]
