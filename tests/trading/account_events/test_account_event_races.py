"""Account events of concurrent transactions: no id is missing, and a reader misses none."""

from collections.abc import Callable
from threading import Event
from uuid import UUID

from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import deposit, events
from tests.trading.threads import run_together
from trading.account_events.rows import first_events_after
from trading.account_events.stream import AccountEvent, AccountStreams
from trading.exchange.order_types import Side

WRITERS = 4
ROUNDS = 25


def polled(harness: TradingHarness, user: UUID, done: Event) -> list[AccountEvent]:
    """Return the events that a polling client receives, with one more read after ``done``."""
    seen: list[AccountEvent] = []
    while True:
        last_read = done.is_set()
        behind = seen[-1].id if seen else 0
        seen += harness.core.database.read(
            lambda session, behind=behind: first_events_after(session, user, behind, limit=7)  # type: ignore[misc]
        )
        if last_read and (not seen or seen[-1].id == behind):
            return seen


def polled_while_writing(
    harness: TradingHarness, user: UUID, write: Callable[[int], object]
) -> list[AccountEvent]:
    """Return what a polling client received while WRITERS threads wrote."""
    done = Event()

    def writer(number: int) -> Callable[[], object]:
        return lambda: write(number)

    def write_all() -> list[AccountEvent]:
        try:
            run_together(*map(writer, range(WRITERS)))
        finally:
            done.set()
        return []

    _, seen = run_together(write_all, lambda: polled(harness, user, done))
    return seen


def test_polling_client_misses_no_event_of_concurrent_commits(harness: TradingHarness) -> None:
    """No smaller id follows a larger one: a user's transactions are numbered as they commit."""
    user = harness.user()

    def moves_cash(_number: int) -> None:
        for _ in range(ROUNDS):
            deposit(harness, user, 1)

    seen = polled_while_writing(harness, user, moves_cash)

    assert [event.id for event in seen] == list(range(1, 2 + WRITERS * ROUNDS))
    assert [event.data["cash_balance_after"] for event in seen] == list(
        range(10_000_000, 10_000_001 + WRITERS * ROUNDS)
    )
    assert harness.core.account_events.repair(batch_size=100, now=harness.clock()) == 0
    assert AccountStreams(harness.core.redis).after(user, 0, limit=1_000).events == tuple(seen)
    assert harness.breaches() == []


def test_batches_of_users_in_any_order_do_not_deadlock(
    server_harness: TradingHarness,
) -> None:
    """Each writer's orders belong to all users and are executed, settled and applied in batches."""
    harness = server_harness
    users = [harness.user() for _ in range(6)]
    harness.tick(70_000)

    def trades(number: int) -> None:
        mine = users[number:] + users[:number]
        for _ in range(5):
            for user in mine:
                harness.place(user, Side.BUY, 1)

    seen = polled_while_writing(harness, users[0], trades)
    assert [event.id for event in seen] == list(range(1, 2 + 5 * WRITERS))

    while harness.sent:
        mail = [harness.sent.pop() for _ in range(min(WRITERS, len(harness.sent)))]
        run_together(*[lambda one=one: harness.run(one) for one in mail])  # type: ignore[misc]

    streams = AccountStreams(harness.core.redis)
    for user in users:
        emitted = events(harness, user)
        assert [event.id for event in emitted] == list(range(1, len(emitted) + 1))
        for order_id in {event.data["id"] for event in emitted if event.kind == "order"}:
            about = [
                event
                for event in emitted
                if order_id in (event.data.get("id"), event.data.get("order_id"))
            ]
            assert [event.kind for event in about] == ["order", "fill", "order", "cash"]
        assert streams.after(user, 0, limit=1_000).events == tuple(emitted)
    assert harness.breaches() == []
