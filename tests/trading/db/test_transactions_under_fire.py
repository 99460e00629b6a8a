"""Tests of the transaction runner with deadlocks, lock timeouts and lost connections."""

import gc
import threading
from collections.abc import Callable

import pytest
from pymysql.err import OperationalError
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import DatabaseServer
from tests.support.trading_harness import TradingHarness
from tests.trading.db.counter import Counter, connection_id, kill
from tests.trading.db.cutting_proxy import Cut, CuttingProxy
from tests.trading.threads import run_together
from trading.db.transactions import (
    ATTEMPTS,
    CommitUncertain,
    Database,
    DatabaseUnavailable,
    after_commit,
)


@pytest.mark.every_database
def test_deadlocked_transaction_is_retried_and_both_commit(server_harness: TradingHarness) -> None:
    """Two threads lock two rows in opposite order: the server rolls one back, and its retry adds
    each step once.
    """
    database = server_harness.core.database
    one, other = Counter(server_harness), Counter(server_harness)
    both_hold_a_lock = threading.Barrier(2)
    attempts: list[int] = []

    def crosswise(first: Counter, second: Counter) -> Callable[[Session], None]:
        own_attempts: list[int] = []

        def work(session: Session) -> None:
            own_attempts.append(1)
            attempts.append(1)
            first.step(session)
            if len(own_attempts) == 1:
                both_hold_a_lock.wait(DEADLINE_S)
            second.step(session)
            after_commit(session, first)

        return work

    run_together(
        lambda: database.transaction(crosswise(one, other)),
        lambda: database.transaction(crosswise(other, one)),
    )
    assert (one.value(database), other.value(database)) == (2, 2)
    assert len(attempts) >= 3
    assert len(server_harness.sent) == 2


@pytest.mark.every_database
def test_lock_wait_timeout_rolls_back_earlier_statements(
    server_harness: TradingHarness,
) -> None:
    """Error 1205 leaves the transaction open with its first statement. The runner rolls it back, so
    that the retry counts once.
    """
    database = server_harness.core.database
    free, held = Counter(server_harness), Counter(server_harness)
    holder = database.engine.connect()
    holder_session = Session(holder)
    held.step(holder_session)
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            holder_session.rollback()
        session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        free.step(session)
        held.step(session)

    database.transaction(work)
    holder.close()
    assert len(attempts) == 2
    assert (free.value(database), held.value(database)) == (1, 1)


def test_reason_of_each_retry_is_reported(server_harness: TradingHarness, server_kind: str) -> None:
    """The reason is reported for every attempt but the last, which is not retried."""
    # The shortest timeout that each server accepts, in seconds.
    lock_wait = {"mariadb": 0, "mysql": 1}[server_kind]
    reasons: list[str] = []
    uri = server_harness.core.database.engine.url.render_as_string(hide_password=False)
    counter = Counter(server_harness)

    def deadlocked(_session: Session) -> None:
        raise DBAPIError("UPDATE", None, OperationalError(1213, "Deadlock found"))

    def held(session: Session) -> None:
        session.execute(text(f"SET SESSION innodb_lock_wait_timeout = {lock_wait}"))
        counter.step(session)

    def cut(session: Session) -> None:
        kill(server_harness, connection_id(session))
        counter.step(session)

    database = Database(uri, retried=reasons.append)
    with server_harness.core.database.engine.begin() as holder:
        counter.step(Session(holder))
        for work in (deadlocked, held, cut):
            with pytest.raises(DatabaseUnavailable):
                database.transaction(work)
    database.close()

    retries = ATTEMPTS - 1
    assert reasons == [*["deadlock"] * retries, *["lock-wait"] * retries, *["connection"] * retries]


def test_rollback_is_sent_only_after_a_read_or_a_failure(
    server_harness: TradingHarness,
) -> None:
    """None is sent after a COMMIT; a failed statement leaves no transaction open."""
    database, counter = server_harness.core.database, Counter(server_harness)

    def rollbacks() -> int:
        counts = text("SHOW SESSION STATUS LIKE 'Com_rollback'")
        with single.engine.connect() as connection:
            return int(connection.execute(counts).one()[1])

    def fail(session: Session) -> None:
        session.execute(text("UPDATE no_such_table SET one = 1"))

    uri = database.engine.url.render_as_string(hide_password=False)
    single = Database(uri, pool_size=1)
    before = rollbacks()  # A read, which itself ends with a rollback.
    single.transaction(counter.step)
    after_commit = rollbacks()
    single.read(counter.stored)
    after_read = rollbacks()
    with pytest.raises(DBAPIError):
        single.transaction(fail)
    after_failure = rollbacks()
    single.close()

    assert [after_commit - before, after_read - after_commit, after_failure - after_read] == [
        1,
        2,
        2,
    ]


def test_connection_killed_during_the_work_is_retried(server_harness: TradingHarness) -> None:
    """The first attempt's statements are lost with its connection; messages are sent once."""
    database, counter = server_harness.core.database, Counter(server_harness)
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        counter.step(session)
        after_commit(session, "sent")
        if len(attempts) == 1:
            kill(server_harness, connection_id(session))
        counter.step(session)

    database.transaction(work)
    assert (counter.value(database), len(attempts), server_harness.sent) == (2, 2, ["sent"])


@pytest.mark.parametrize("method", ["transaction", "read", "snapshot"])
def test_killed_idle_connection_is_replaced(server_harness: TradingHarness, method: str) -> None:
    """A server restart or an idle timeout leaves dead connections in the pool; callers get no
    error.
    """
    database, counter = server_harness.core.database, Counter(server_harness)
    kill(server_harness, getattr(database, method)(connection_id))
    assert getattr(database, method)(counter.stored) == 1


def test_number_of_attempts_is_bounded(server_harness: TradingHarness) -> None:
    """If every attempt loses its connection, the last one raises, and nothing is stored or sent."""
    database, counter = server_harness.core.database, Counter(server_harness)
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        counter.step(session)
        after_commit(session, "never")
        kill(server_harness, connection_id(session))
        counter.step(session)

    with pytest.raises(DatabaseUnavailable):
        database.transaction(work)
    assert (len(attempts), counter.value(database), server_harness.sent) == (ATTEMPTS, 0, [])


def database_through(proxy: CuttingProxy, uri: str, sent: list[object]) -> Database:
    address = make_url(uri).set(port=proxy.port).render_as_string(hide_password=False)
    return Database(address, deliver=sent.extend)


@pytest.mark.parametrize("cut", Cut)
def test_unknown_commit_outcome_raises_without_find_committed(
    server_harness: TradingHarness, database_server: DatabaseServer, server_uri: str, cut: Cut
) -> None:
    """The work is not run again, because its effect may already be stored; no message is sent."""
    counter, sent = Counter(server_harness), []
    with CuttingProxy(database_server.port, cut) as proxy:
        database = database_through(proxy, server_uri, sent)
        with pytest.raises(CommitUncertain):
            database.transaction(counter.step)
        database.close()
    assert counter.value(server_harness.core.database) == (1 if cut is Cut.AFTER else 0)
    assert sent == []


@pytest.mark.parametrize(
    "cuts", [(Cut.BEFORE,), (Cut.AFTER,), (Cut.BEFORE, Cut.BEFORE), (Cut.BEFORE, Cut.AFTER)]
)
def test_unknown_commit_outcome_is_resolved_by_find_committed(
    server_harness: TradingHarness,
    database_server: DatabaseServer,
    server_uri: str,
    cuts: tuple[Cut, ...],
) -> None:
    """The effect is stored exactly once, whether the cut is before or after the COMMIT."""
    counter = Counter(server_harness)

    def find_committed(session: Session) -> str | None:
        return "found" if counter.stored(session) > 1 else None

    with CuttingProxy(database_server.port, *cuts) as proxy:
        database = database_through(proxy, server_uri, [])
        result = database.transaction(
            lambda session: counter.step(session) or "done", find_committed=find_committed
        )
        database.close()
    assert result == ("found" if cuts[-1] is Cut.AFTER else "done")
    assert counter.value(server_harness.core.database) == 1


@pytest.mark.parametrize("cut", Cut)
def test_commit_uncertain_is_raised_if_the_server_stays_unreachable(
    server_harness: TradingHarness, database_server: DatabaseServer, server_uri: str, cut: Cut
) -> None:
    """A plain DatabaseUnavailable would state that nothing was changed."""
    counter = Counter(server_harness)
    with CuttingProxy(database_server.port, cut, gone=True) as proxy:
        database = database_through(proxy, server_uri, [])
        with pytest.raises(CommitUncertain):
            database.transaction(
                counter.step, find_committed=lambda session: counter.stored(session) > 1 or None
            )
        database.close()
    assert counter.value(server_harness.core.database) == (1 if cut is Cut.AFTER else 0)


def test_interrupted_rollback_leaves_no_open_transaction_in_the_pool(
    server_harness: TradingHarness,
) -> None:
    """A task's time limit can be raised at any step, also just before a ROLLBACK is sent."""
    counter = Counter(server_harness)
    uri = server_harness.core.database.engine.url.render_as_string(hide_password=False)
    single = Database(uri, pool_size=1)

    def interrupt(_connection: Connection) -> None:
        raise KeyboardInterrupt

    def step_and_fail(session: Session) -> None:
        counter.step(session)
        raise ValueError

    event.listen(single.engine, "rollback", interrupt)
    with pytest.raises(KeyboardInterrupt):
        single.transaction(step_and_fail)
    event.remove(single.engine, "rollback", interrupt)
    gc.collect()

    assert counter.value(single) == 0
    single.close()
