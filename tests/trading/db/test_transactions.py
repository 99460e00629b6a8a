"""The transaction runner: what is committed, what is rolled back, what is sent and what is seen."""

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


class Refused(Exception):
    """An error of a use case."""


def test_a_result_comes_back_committed(harness: TradingHarness) -> None:
    """What the work returned is returned, and another connection sees what it did."""
    counter = Counter(harness)

    def work(session: Session) -> str:
        counter.step(session)
        return "done"

    assert harness.core.database.transaction(work) == "done"
    assert counter.value(harness.core.database) == 1


def test_an_error_rolls_everything_back_and_passes_through(harness: TradingHarness) -> None:
    """An exception undoes the statements before it, sends nothing, is not retried and reaches the caller as it was."""
    counter, tries = Counter(harness), []

    def work(session: Session) -> None:
        tries.append(1)
        counter.step(session)
        after_commit(session, "never")
        raise Refused

    with pytest.raises(Refused):
        harness.core.database.transaction(work)
    assert (counter.value(harness.core.database), len(tries), harness.sent) == (0, 1, [])


def test_a_broken_constraint_is_not_retried(harness: TradingHarness) -> None:
    """A fault that the same work would meet again passes at once."""
    tries = []

    def work(session: Session) -> None:
        tries.append(1)
        session.execute(text("UPDATE virtual_balances SET reserved_cash = -1"))

    harness.user()
    with pytest.raises(DBAPIError, match=r"(?i)constraint"):
        harness.core.database.transaction(work)
    assert len(tries) == 1


def test_messages_are_sent_after_the_commit(database_uri: str, valkey_url: str) -> None:
    """At the moment of sending, another connection sees the rows already, and the order of the messages is kept."""
    with opened(settings_for(database_uri, valkey_url)) as harness:
        counter = Counter(harness)
        seen: list[tuple[list[object], int]] = []
        database = Database(
            database_uri, deliver=lambda sent: seen.append((list(sent), counter.value(database)))
        )

        def work(session: Session) -> None:
            after_commit(session, "one")
            counter.step(session)
            after_commit(session, "two")

        database.transaction(work)
        database.close()
    assert seen == [(["one", "two"], 1)]


def test_last_work_comes_behind_everything_else(harness: TradingHarness) -> None:
    """Asked for twice it is done once, in the same transaction, after the statements that follow its asking; its error undoes all."""
    counter, seen = Counter(harness), []

    def last(session: Session) -> None:
        seen.append(counter.seen(session))
        after_commit(session, "from the last work")
        if len(seen) == 2:
            raise Refused

    def work(session: Session) -> None:
        before_commit(session, last)
        counter.step(session)
        before_commit(session, last)

    start = harness.core.read(counter.seen)
    harness.core.database.transaction(work)
    assert (seen, harness.sent) == ([start + 1], ["from the last work"])
    with pytest.raises(Refused):
        harness.core.database.transaction(work)
    assert (counter.value(harness.core.database), len(harness.sent)) == (1, 1)


def test_reading_keeps_nothing(harness: TradingHarness) -> None:
    """What a reader writes by mistake is rolled back."""
    counter = Counter(harness)
    harness.core.read(counter.step)
    assert counter.value(harness.core.database) == 0


def test_a_snapshot_sees_one_state(harness: TradingHarness) -> None:
    """Between two looks of one snapshot another transaction commits, and the second look sees what the first saw."""
    counter, database = Counter(harness), harness.core.database

    def work(session: Session) -> tuple[int, int]:
        before = counter.seen(session)
        database.transaction(counter.step)
        return before, counter.seen(session)

    before, after = database.snapshot(work)
    assert before == after
    assert counter.value(database) == 1


def test_readers_do_not_wait_for_writers(harness: TradingHarness) -> None:
    """While a transaction holds its locks, a reader gets the state before it; a reader that waited would never end."""
    counter, database = Counter(harness), harness.core.database

    def work(session: Session) -> int:
        counter.step(session)
        return counter.value(database)

    assert database.transaction(work) == 0


def test_read_modify_write_on_sqlite_loses_nothing(migrated_sqlite: str, valkey_url: str) -> None:
    """Two threads read, add one and write, many times: BEGIN IMMEDIATE keeps every one of their steps."""
    steps = 40
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        counter, database = Counter(harness), harness.core.database

        def add_one(session: Session) -> None:
            value = counter.seen(session)
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


@pytest.mark.parametrize("ask", ["transaction", "read", "snapshot"])
def test_a_server_that_is_away_is_a_database_unavailable(ask: str) -> None:
    """Where nothing listens, each way of asking fails with an error of this package."""
    database = Database(f"mysql+pymysql://root@127.0.0.1:{free_port()}/none")
    with pytest.raises(DatabaseUnavailable):
        getattr(database, ask)(lambda session: session.execute(text("SELECT 1")))
    database.close()


def test_a_used_up_pool_is_a_database_unavailable(server_uri: str) -> None:
    """When every connection is busy for longer than a caller may wait, he is told so."""
    database = Database(server_uri, pool_size=1)
    with database.engine.connect(), database.engine.connect(), pytest.raises(DatabaseUnavailable):
        database.transaction(lambda session: session.execute(text("SELECT 1")))
    database.close()


@pytest.mark.parametrize("ask", ["transaction", "read"])
def test_what_interrupts_a_statement_passes_through(server_uri: str, ask: str) -> None:
    """As a task's time limit does: it is no fault of the database, so the work is not done again; and the next work finds a connection that is sound."""
    database, tries = Database(server_uri, pool_size=1), []

    def ring(*_signal: object) -> None:
        raise Refused

    def work(session: Session) -> None:
        tries.append(1)
        session.execute(text("SELECT SLEEP(10)"))

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Refused):
            getattr(database, ask)(work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(tries) == 1
    assert getattr(database, ask)(lambda session: session.scalar(text("SELECT 1"))) == 1
    database.close()


def test_statements_are_counted_only_inside_the_block(harness: TradingHarness) -> None:
    """The counter that other tests rely on: it sees each statement once and ends with its block."""
    counter, database = Counter(harness), harness.core.database
    with statements_counted(database.engine) as statements:
        database.transaction(counter.step)
    counter.value(database)
    updates = [statement for statement in statements if statement.startswith("UPDATE")]
    assert len(updates) == 1
    assert not any(statement.startswith("SELECT transaction_count") for statement in statements)


def test_connections_share_what_they_need_for_tls(server_uri: str) -> None:
    """To make it anew for each would read all certificates of the machine each time."""
    database = Database(server_uri)
    with closing(database), database.engine.connect() as one, database.engine.connect() as other:
        first, second = (connection.connection.driver_connection for connection in (one, other))

        assert first is not second
        assert first.ctx is second.ctx


def test_a_long_list_stays_a_list_on_mariadb(migrated_mariadb: str) -> None:
    """By its own default MariaDB makes a subquery of a thousand values, and may lock every row of the table to find theirs."""
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
