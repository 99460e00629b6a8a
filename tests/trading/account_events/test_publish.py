"""Publishing committed events to Redis: at once, past gaps, after outages, and by repair."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy.engine import make_url

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import DatabaseServer, Valkey
from tests.support.trading_harness import TestClock, TradingHarness, settings_for
from tests.trading.db.cutting_proxy import Cut, CuttingProxy
from tests.trading.orders.steps import deposit, events, move_cash
from trading import bootstrap as trading_core
from trading.account_events.rows import last_event_id
from trading.account_events.stream import AccountEvent, AccountStreams
from trading.bootstrap import Publish
from trading.ledger import deposits
from trading.marketdata.quotes import MarketUnavailable
from trading.redis import keys

BATCH = 2


@contextmanager
def process(harness: TradingHarness, *, publishes: bool = True) -> Iterator[TradingHarness]:
    """Yield another process on the same database.

    With ``publishes`` false it dies between COMMIT and publication every time.
    """

    def publishing(publish: Publish) -> Publish:
        return publish if publishes else lambda _events: None

    core = trading_core.build(harness.settings, publishing=publishing, clock=harness.clock)
    try:
        yield TradingHarness(core, harness.clock)
    finally:
        core.close()


@pytest.fixture
def dying(harness: TradingHarness) -> Iterator[TradingHarness]:
    with process(harness, publishes=False) as dying:
        yield dying


def stream_ids(harness: TradingHarness, user: UUID, *, after: int = 0) -> list[int]:
    """Return the ids in a user's stream."""
    part = AccountStreams(harness.core.redis).after(user, after, limit=10_000)
    return [event.id for event in part.events]


def repair(harness: TradingHarness) -> int:
    return harness.core.account_events.repair(batch_size=BATCH, now=harness.clock())


def test_committed_events_are_streamed_and_published(harness: TradingHarness) -> None:
    user = harness.user()
    with harness.core.redis.pubsub(ignore_subscribe_messages=True) as push:
        push.subscribe(keys.account_channel(user))
        push.get_message(timeout=DEADLINE_S)
        deposit(harness, user, 5)
        received = push.get_message(timeout=DEADLINE_S)

    (_, event) = events(harness, user)
    assert received is not None
    assert received["data"] == event.to_json()
    assert AccountStreams(harness.core.redis).after(user, 1, limit=10).events == (event,)


def test_publishing_fills_gaps_before_its_events(
    harness: TradingHarness, dying: TradingHarness
) -> None:
    """For several users at once, one of them so far behind that it is read separately."""
    near, far = harness.user(), harness.user()
    for user, times in ((near, 3), (far, 60)):
        for _ in range(times):
            deposit(dying, user, 1)
    assert (stream_ids(harness, near), stream_ids(harness, far)) == ([1], [1])

    newest = [events(harness, user)[-1] for user in (near, far)]
    harness.core.account_events.publish(newest)

    assert (stream_ids(harness, near), stream_ids(harness, far)) == (
        [*range(1, 5)],
        [*range(1, 62)],
    )


def test_publishing_fills_gaps_between_its_events(
    harness: TradingHarness, dying: TradingHarness
) -> None:
    """Such gaps arise when another process's transaction commits between two requests."""
    user = harness.user()
    for _ in range(4):
        deposit(dying, user, 1)
    _, first, _, third, _ = events(harness, user)

    harness.core.account_events.publish([third, first])

    assert stream_ids(harness, user) == [1, 2, 3, 4]


def test_gap_wider_than_a_stream_restarts_it(
    harness: TradingHarness, dying: TradingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the latest events; a client behind that detects that some are missing."""
    monkeypatch.setattr(keys, "ACCOUNT_STREAM_MAXLEN", 5)
    user = harness.user()
    for _ in range(60):
        deposit(dying, user, 1)

    deposit(harness, user, 1)

    streams = AccountStreams(harness.core.redis)
    assert [event.id for event in streams.after(user, 1, limit=100).events] == [58, 59, 60, 61, 62]
    assert not streams.after(user, 1, limit=100).complete


def test_redis_outage_fails_no_commit_and_is_repaired(
    harness: TradingHarness, valkey_server: Valkey, capfd: pytest.CaptureFixture[str]
) -> None:
    """Transactions commit, one repair reports the outage, and the next completes the streams."""
    users = [harness.user() for _ in range(2 * BATCH + 1)]
    repair(harness)
    valkey_server.pause()
    try:
        for user in users:
            deposit(harness, user, 5)
        with pytest.raises(MarketUnavailable):
            repair(harness)
    finally:
        valkey_server.resume()
    assert "account_events_not_published" in capfd.readouterr().out

    assert repair(harness) == len(users)
    assert [stream_ids(harness, user) for user in users] == [[1, 2]] * len(users)
    assert repair(harness) == 0


def test_repair_after_a_crash_between_commit_and_publication(
    harness: TradingHarness, dying: TradingHarness
) -> None:
    """The connected client receives what was never published."""
    user = harness.user()
    repair(harness)
    deposit(dying, user, 1)
    harness.clock.advance(seconds=5)
    with harness.core.redis.pubsub(ignore_subscribe_messages=True) as push:
        push.subscribe(keys.account_channel(user))
        push.get_message(timeout=DEADLINE_S)
        assert repair(harness) == 1
        received = push.get_message(timeout=DEADLINE_S)

    assert received is not None
    assert AccountEvent.from_json(received["data"], user_id=user) == events(harness, user)[1]


def test_commit_of_unknown_outcome_loses_at_most_the_publication(
    server_harness: TradingHarness, database_server: DatabaseServer
) -> None:
    """The connection is cut right after COMMIT: one row, published by the repair."""
    harness = server_harness
    user = harness.user()
    repair(harness)
    with CuttingProxy(database_server.port, Cut.AFTER) as proxy:
        address = make_url(harness.settings.database_uri.get_secret_value()).set(port=proxy.port)
        cut = settings_for(
            address.render_as_string(hide_password=False),
            harness.settings.redis_url.get_secret_value(),
        )
        core = trading_core.build(cut, clock=harness.clock)
        work = partial(deposits.deposit, command=move_cash(user, 1))
        core.run_once(
            work, find_committed=lambda session: True if last_event_id(session, user) == 2 else None
        )
        core.close()

    assert [event.id for event in events(harness, user)] == [1, 2]
    assert stream_ids(harness, user) == [1]
    assert repair(harness) == 1
    assert stream_ids(harness, user) == [1, 2]


def test_repair_covers_a_process_whose_clock_is_behind(
    harness: TradingHarness, dying: TradingHarness
) -> None:
    """The repair reads back further than clocks differ and transactions last."""
    user = harness.user()
    repair(harness)
    slow = TestClock()
    slow.now = harness.clock() - timedelta(seconds=55)
    deposit(replace(dying, core=replace(dying.core, clock=slow)), user, 1)

    assert repair(harness) == 1
    assert stream_ids(harness, user) == [1, 2]


@pytest.mark.parametrize("lost", ["wiped", "the streams alone"])
def test_client_receives_what_happened_while_redis_lost_its_data(
    harness: TradingHarness, dying: TradingHarness, lost: str
) -> None:
    """Streams start with the events since the last repair, or those of the last hour."""
    user, idle = harness.user(), harness.user()
    deposit(harness, idle, 1)
    repair(harness)
    harness.clock.advance(hours=2)
    deposit(harness, user, 1)
    if lost == "wiped":
        harness.core.redis.flushall()
    else:
        repair(harness)
        harness.core.redis.delete(keys.account_stream(user), keys.account_stream(idle))
    harness.clock.advance(seconds=30)
    deposit(dying, user, 2)
    harness.clock.advance(seconds=20)

    assert repair(harness) == 1

    assert stream_ids(harness, user) == [2, 3]
    assert stream_ids(harness, idle) == []


def test_repair_reads_heads_in_batches(harness: TradingHarness, dying: TradingHarness) -> None:
    users = [harness.user() for _ in range(3 * BATCH + 1)]
    for user in users[:4]:
        deposit(dying, user, 1)

    assert repair(harness) == 4
    assert [len(stream_ids(harness, user)) for user in users] == [2] * 4 + [1] * 3


def test_malformed_repair_time_is_ignored(harness: TradingHarness, dying: TradingHarness) -> None:
    """The repair continues with the last hour."""
    user = dying.user()
    harness.core.redis.set(keys.ACCOUNT_EVENTS_SWEPT_AT, "yesterday")

    assert repair(harness) == 1
    assert stream_ids(harness, user) == [1]
    assert AccountStreams(harness.core.redis).last_sweep_at() == harness.clock()
