"""The transaction runner against a real server that deadlocks, times out, and loses connections at the worst moments."""

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
def test_a_deadlock_is_retried_and_both_succeed(server_harness: TradingHarness) -> None:
    """Two threads lock two rows crosswise: the server kills one, the runner runs it again, each step is there once."""
    database = server_harness.core.database
    one, other = Counter(server_harness), Counter(server_harness)
    both_hold_one = threading.Barrier(2)
    tries: list[int] = []

    def crosswise(first: Counter, second: Counter) -> Callable[[Session], None]:
        mine: list[int] = []

        def work(session: Session) -> None:
            mine.append(1)
            tries.append(1)
            first.step(session)
            if len(mine) == 1:
                both_hold_one.wait(DEADLINE_S)
            second.step(session)
            after_commit(session, first)

        return work

    run_together(
        lambda: database.transaction(crosswise(one, other)),
        lambda: database.transaction(crosswise(other, one)),
    )
    assert (one.value(database), other.value(database)) == (2, 2)
    assert len(tries) >= 3
    assert len(server_harness.sent) == 2


@pytest.mark.every_database
def test_a_lock_wait_timeout_undoes_the_statements_before_it(
    server_harness: TradingHarness,
) -> None:
    """Error 1205 leaves the transaction open with its first statement; the runner rolls it back, so the retry counts once."""
    database = server_harness.core.database
    free, held = Counter(server_harness), Counter(server_harness)
    holder = database.engine.connect()
    holder_session = Session(holder)
    held.step(holder_session)
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        if len(tries) == 2:
            holder_session.rollback()
        session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        free.step(session)
        held.step(session)

    database.transaction(work)
    holder.close()
    assert len(tries) == 2
    assert (free.value(database), held.value(database)) == (1, 1)


def test_reason_of_each_retry_is_reported(server_harness: TradingHarness, server_kind: str) -> None:
    """In one of few words, each time but the last, after which nothing is run any more."""
    # The shortest that each server takes, in seconds.
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

    again = ATTEMPTS - 1
    assert reasons == [*["deadlock"] * again, *["lock-wait"] * again, *["connection"] * again]


def test_a_rollback_is_sent_only_where_there_may_be_something_to_undo(
    server_harness: TradingHarness,
) -> None:
    """None after a COMMIT, one after a read, and one after a statement that failed: a failure leaves no transaction open."""
    database, counter = server_harness.core.database, Counter(server_harness)

    def rollbacks() -> int:
        counts = text("SHOW SESSION STATUS LIKE 'Com_rollback'")
        with only.engine.connect() as connection:
            return int(connection.execute(counts).one()[1])

    def fail(session: Session) -> None:
        session.execute(text("UPDATE no_such_table SET one = 1"))

    only = Database(database.engine.url.render_as_string(hide_password=False), pool_size=1)
    before = rollbacks()  # Itself a read, with one at its end.
    only.transaction(counter.step)
    after_commit = rollbacks()
    only.read(counter.seen)
    after_read = rollbacks()
    with pytest.raises(DBAPIError):
        only.transaction(fail)
    after_failure = rollbacks()
    only.close()

    assert [after_commit - before, after_read - after_commit, after_failure - after_read] == [
        1,
        2,
        2,
    ]


def test_a_connection_killed_amid_the_work_is_retried(server_harness: TradingHarness) -> None:
    """The first run's statements died with its connection; the second run counts once and sends once."""
    database, counter = server_harness.core.database, Counter(server_harness)
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        counter.step(session)
        after_commit(session, "told")
        if len(tries) == 1:
            kill(server_harness, connection_id(session))
        counter.step(session)

    database.transaction(work)
    assert (counter.value(database), len(tries), server_harness.sent) == (2, 2, ["told"])


@pytest.mark.parametrize("ask", ["transaction", "read", "snapshot"])
def test_an_idle_connection_that_was_killed_is_replaced(
    server_harness: TradingHarness, ask: str
) -> None:
    """A restarted server or an idle timeout leaves dead connections in the pool; whoever meets one does not notice."""
    database, counter = server_harness.core.database, Counter(server_harness)
    kill(server_harness, getattr(database, ask)(connection_id))
    assert getattr(database, ask)(counter.seen) == 1


def test_attempts_are_bounded(server_harness: TradingHarness) -> None:
    """When every run loses its connection, the caller is told after the last attempt and nothing stays behind."""
    database, counter = server_harness.core.database, Counter(server_harness)
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        counter.step(session)
        after_commit(session, "never")
        kill(server_harness, connection_id(session))
        counter.step(session)

    with pytest.raises(DatabaseUnavailable):
        database.transaction(work)
    assert (len(tries), counter.value(database), server_harness.sent) == (ATTEMPTS, 0, [])


def through(proxy: CuttingProxy, uri: str, sent: list[object]) -> Database:
    address = make_url(uri).set(port=proxy.port).render_as_string(hide_password=False)
    return Database(address, deliver=sent.extend)


@pytest.mark.parametrize("cut", Cut)
def test_a_commit_of_unknown_outcome_is_told_to_who_cannot_find_out(
    server_harness: TradingHarness, database_server: DatabaseServer, server_uri: str, cut: Cut
) -> None:
    """Without ``find_committed`` the work is not run again, as it may be there already; nothing is sent."""
    counter, sent = Counter(server_harness), []
    with CuttingProxy(database_server.port, cut) as proxy:
        database = through(proxy, server_uri, sent)
        with pytest.raises(CommitUncertain):
            database.transaction(counter.step)
        database.close()
    assert counter.value(server_harness.core.database) == (1 if cut is Cut.AFTER else 0)
    assert sent == []


@pytest.mark.parametrize(
    "cuts", [(Cut.BEFORE,), (Cut.AFTER,), (Cut.BEFORE, Cut.BEFORE), (Cut.BEFORE, Cut.AFTER)]
)
def test_a_commit_of_unknown_outcome_is_found_or_done_again(
    server_harness: TradingHarness,
    database_server: DatabaseServer,
    server_uri: str,
    cuts: tuple[Cut, ...],
) -> None:
    """With ``find_committed`` the effect is there exactly once, whichever side of the COMMIT the line was cut on."""
    counter = Counter(server_harness)

    def find_committed(session: Session) -> str | None:
        return "found" if counter.seen(session) > 1 else None

    with CuttingProxy(database_server.port, *cuts) as proxy:
        database = through(proxy, server_uri, [])
        result = database.transaction(
            lambda session: counter.step(session) or "done", find_committed=find_committed
        )
        database.close()
    assert result == ("found" if cuts[-1] is Cut.AFTER else "done")
    assert counter.value(server_harness.core.database) == 1


@pytest.mark.parametrize("cut", Cut)
def test_an_outcome_that_nobody_can_tell_is_never_called_unchanged(
    server_harness: TradingHarness, database_server: DatabaseServer, server_uri: str, cut: Cut
) -> None:
    """The line is cut at COMMIT and the server stays away: a plain DatabaseUnavailable would promise that nothing was changed."""
    counter = Counter(server_harness)
    with CuttingProxy(database_server.port, cut, gone=True) as proxy:
        database = through(proxy, server_uri, [])
        with pytest.raises(CommitUncertain):
            database.transaction(
                counter.step, find_committed=lambda session: counter.seen(session) > 1 or None
            )
        database.close()
    assert counter.value(server_harness.core.database) == (1 if cut is Cut.AFTER else 0)


def test_interrupted_rollback_leaves_no_open_transaction_in_the_pool(
    server_harness: TradingHarness,
) -> None:
    """A task's time limit is raised between any two steps, also just before a ROLLBACK is sent."""
    counter = Counter(server_harness)
    uri = server_harness.core.database.engine.url.render_as_string(hide_password=False)
    only = Database(uri, pool_size=1)

    def interrupt(_connection: Connection) -> None:
        raise KeyboardInterrupt

    def step_and_fail(session: Session) -> None:
        counter.step(session)
        raise ValueError

    event.listen(only.engine, "rollback", interrupt)
    with pytest.raises(KeyboardInterrupt):
        only.transaction(step_and_fail)
    event.remove(only.engine, "rollback", interrupt)
    gc.collect()

    assert counter.value(only) == 0
    only.close()
