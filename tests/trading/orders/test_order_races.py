"""Races of threads for one order or one balance on MariaDB."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cancel_all, cash, halt, resume, rows, shares, sweep
from tests.trading.threads import outcome, run_together
from trading.errors import DomainError, ValidationFailed
from trading.exchange.order_types import Side, TimeInForce
from trading.halts.errors import TradingHalted
from trading.orders.errors import ClientOrderIdTaken, OrderNotOpen
from trading.orders.records import OrderRecord
from trading.tasks import Task, TaskRequest

ROUNDS = 15
CASH = 10_000_000
MIDNIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@pytest.fixture
def volume_harness(server_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Orders fill only by traded volume, on MariaDB."""
    with opened(settings_for(server_uri, valkey_url, fill_profile="volume")) as harness:
        yield harness


def order_with_pending_fill(
    harness: TradingHarness, side: Side, *, volume: int = 1, quantity: int = 10
) -> tuple[UUID, OrderRecord, TaskRequest, int]:
    """Return a new user, an order with a pending fill, its execution task and the cash before."""
    user = harness.user()
    harness.tick(70_000)
    if side is Side.SELL:
        bought(harness, user, quantity)
    balance = cash(harness, user)[0]
    order = harness.place(user, side, quantity, limit=69_000 if side is Side.BUY else 71_000)
    harness.tick(68_500 if side is Side.BUY else 71_500, volume=volume)
    harness.match()
    (request,) = harness.sent
    harness.sent.clear()
    return user, order, request, balance


def cancelling(harness: TradingHarness, user: UUID, order: OrderRecord) -> Callable[[], object]:
    return outcome(lambda: harness.cancel(user, order.id), OrderNotOpen)


def settled(harness: TradingHarness) -> None:
    harness.run_all()
    assert harness.breaches() == []


@pytest.mark.parametrize("side", Side)
def test_fill_against_cancel(server_harness: TradingHarness, side: Side) -> None:
    """Either filled and the cancellation refused, or cancelled without a fill."""
    harness = server_harness
    for _ in range(ROUNDS):
        user, order, request, balance = order_with_pending_fill(harness, side)
        _, result = run_together(lambda: harness.run(request), cancelling(harness, user, order))  # noqa: B023
        settled(harness)
        ended = harness.order(user, order.id)
        if ended.status == "FILLED":
            assert isinstance(result, OrderNotOpen)
            assert result.facts == {
                "order_status": "FILLED",
                "reason": None,
                "executed_quantity": 10,
            }
            change = -690_103 if side is Side.BUY else 710_000 - 106 - 355 - 1_065
            assert cash(harness, user) == (balance + change, 0)
            assert shares(harness, user) == ((10, 0) if side is Side.BUY else (0, 0))
        else:
            assert (ended.status, ended.executions, result) == ("CANCELLED", (), None)
            assert cash(harness, user) == (balance, 0)
            assert shares(harness, user) == ((0, 0) if side is Side.BUY else (10, 0))
        assert rows(harness, "SELECT * FROM pending_fills") == []


def test_fill_against_amend(server_harness: TradingHarness) -> None:
    """Either filled on the old terms and the amendment refused, or amended without a fill."""
    harness = server_harness
    for _ in range(ROUNDS):
        user, order, request, balance = order_with_pending_fill(harness, Side.BUY)
        amends = outcome(
            lambda: harness.amend(user, order.id, limit=68_000, quantity=12),  # noqa: B023
            OrderNotOpen,
        )
        _, result = run_together(lambda: harness.run(request), amends)  # noqa: B023
        settled(harness)
        after = harness.order(user, order.id)
        if result is None:
            assert (after.status, after.quantity, after.price, after.executions) == (
                "PENDING",
                12,
                68_000,
                (),
            )
            assert cash(harness, user) == (balance, 816_000 + 122)
        else:
            assert (after.status, after.quantity, after.price) == ("FILLED", 10, 69_000)
            assert cash(harness, user) == (balance - 690_103, 0)
        cancel_all(harness, user)


def test_fill_against_a_smaller_quantity(volume_harness: TradingHarness) -> None:
    """Before a fill of six of ten, an amendment to four fills four; after it, it is refused."""
    harness = volume_harness
    for _ in range(ROUNDS):
        user, order, request, balance = order_with_pending_fill(harness, Side.BUY, volume=6)
        amends = outcome(lambda: harness.amend(user, order.id, quantity=4), ValidationFailed)  # noqa: B023
        _, result = run_together(lambda: harness.run(request), amends)  # noqa: B023
        settled(harness)
        after = harness.order(user, order.id)
        if result is None:
            assert (after.status, after.executed_quantity) == ("FILLED", 4)
            assert cash(harness, user) == (balance - 276_041, 0)
        else:
            assert (after.status, after.quantity, after.executed_quantity) == (
                "PARTIALLY_FILLED",
                10,
                6,
            )
            assert cash(harness, user) == (balance - 414_062, 276_041)
        cancel_all(harness, user)


def test_concurrent_executions_fill_an_order_once(server_harness: TradingHarness) -> None:
    """Four workers with one task, and one with the sweep's."""
    harness = server_harness
    for _ in range(ROUNDS):
        user, order, request, balance = order_with_pending_fill(harness, Side.BUY)
        run_together(*[lambda: harness.run(request)] * 4)  # noqa: B023
        settled(harness)
        assert len(harness.order(user, order.id).executions) == 1
        assert cash(harness, user) == (balance - 690_103, 0)


def test_matchers_of_two_shard_counts_share_each_trade_once(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    split = with_settings(harness, matcher_shards=2)
    for run in (harness.match, split.match, lambda: split.match(1)):
        run()
    for _ in range(ROUNDS):
        user = harness.user()
        harness.tick(70_000)
        order = harness.place(user, Side.BUY, 50, limit=69_000)
        for volume in (3, 4):
            harness.tick(68_500, volume=volume)
        run_together(harness.match, lambda: split.match(0), lambda: split.match(1))
        harness.match()
        (pending,) = rows(
            harness,
            "SELECT SUM(quantity) AS shares FROM pending_fills WHERE order_id = :id",
            id=order.id.bytes,
        )
        assert pending["shares"] == 7
        settled(harness)
        assert harness.order(user, order.id).executed_quantity == 7
        cancel_all(harness, user)


def with_settings(harness: TradingHarness, **changed: object) -> TradingHarness:
    """Return the same database under other settings, as another process has them."""
    core = replace(harness.core, settings=harness.settings.model_copy(update=changed))
    return TradingHarness(core, harness.clock, harness.sent)


def test_two_executions_on_one_balance(server_harness: TradingHarness) -> None:
    """The price rose above two market buys, and available cash covers the shortfall of only one:
    the other is rejected.
    """
    harness = server_harness
    for _ in range(ROUNDS):
        user = harness.user()
        harness.tick(70_000)
        orders = [harness.place(user, Side.BUY, 69) for _ in range(2)]
        harness.tick(73_200)
        harness.sent.clear()
        one, other = [TaskRequest(Task.EXECUTE_ORDERS, (order.id,)) for order in orders]
        run_together(lambda: harness.run(one), lambda: harness.run(other))  # noqa: B023
        harness.clock.advance(seconds=3)
        harness.tick(73_200)
        harness.sent += sweep(harness).requests
        settled(harness)
        assert sorted(harness.order(user, order.id).status for order in orders) == [
            "FILLED",
            "REJECTED",
        ]
        assert cash(harness, user) == (CASH - 69 * 73_200 - 757, 0)


def test_concurrent_cancellations_release_once(server_harness: TradingHarness) -> None:
    """One of three succeeds."""
    harness = server_harness
    for _ in range(ROUNDS):
        user, order, _, _ = order_with_pending_fill(harness, Side.BUY)
        result = run_together(*[cancelling(harness, user, order)] * 3)
        assert sorted(map(str, result)) == ["None", "order-not-open", "order-not-open"]
        assert cash(harness, user) == (CASH, 0)
    settled(harness)


def test_cancel_all_against_fills(server_harness: TradingHarness) -> None:
    """Six orders, each filled or cancelled; cancel-all returns exactly those it cancelled."""
    harness = server_harness
    for _ in range(ROUNDS):
        user = harness.user()
        harness.tick(70_000)
        orders = [harness.place(user, Side.BUY, 1, limit=69_000 - 100 * n).id for n in range(6)]
        harness.tick(68_000)
        harness.match()
        harness.sent.clear()
        parts = (tuple(orders[:3]), tuple(orders[3:]))
        fills = [
            lambda part=part: harness.run(TaskRequest(Task.EXECUTE_ORDERS, part)) for part in parts
        ]
        cancelled, *_ = run_together(lambda: cancel_all(harness, user), *fills)  # noqa: B023
        settled(harness)
        states = {order: harness.order(user, order).status for order in orders}
        assert [order for order, status in states.items() if status == "CANCELLED"] == cancelled
        assert set(states.values()) <= {"CANCELLED", "FILLED"}
        assert cash(harness, user)[1] == 0


def test_expire_against_fill(server_harness: TradingHarness) -> None:
    """A due order whose day has just ended is filled or expires, never both or neither."""
    harness = server_harness
    harness.clock.now = MIDNIGHT.replace(hour=14, minute=59, second=59)
    for _ in range(ROUNDS):
        user = harness.user()
        harness.tick(70_000)
        order = harness.place(user, Side.BUY, 10, limit=70_000)
        (request,) = harness.sent
        harness.sent.clear()
        harness.clock.now = harness.clock.now.replace(hour=15, minute=0, second=0)
        harness.match()
        run_together(lambda: harness.run(request), harness.expire)  # noqa: B023
        settled(harness)
        ended = harness.order(user, order.id)
        assert (ended.status, len(ended.executions)) in {("FILLED", 1), ("EXPIRED", 0)}
        assert cash(harness, user) == ((CASH - 700_105, 0) if ended.executions else (CASH, 0))
        harness.clock.advance(hours=23, minutes=59, seconds=59)


def test_halt_against_place(server_harness: TradingHarness) -> None:
    """Once the halt is committed and running tasks are done, nothing is filled."""
    harness = server_harness
    admin = harness.user()
    for _ in range(ROUNDS):
        user = harness.user()
        harness.tick(70_000)
        harness.place(user, Side.BUY, 1)
        request = harness.sent.pop()
        places = [outcome(lambda: harness.place(user, Side.BUY, 1), TradingHalted)] * 3  # noqa: B023
        run_together(lambda: halt(harness, admin), lambda: harness.run(request), *places)  # noqa: B023
        filled = rows(harness, "SELECT COUNT(*) AS n FROM order_executions")
        harness.tick(70_000)
        settled(harness)
        harness.match()
        assert rows(harness, "SELECT COUNT(*) AS n FROM order_executions") == filled
        cancel_all(harness, user)
        assert cash(harness, user)[1] == 0
        harness.clock.advance(seconds=1)
        resume(harness, admin)
        harness.sent.clear()


def test_concurrent_halts_and_resumptions(server_harness: TradingHarness) -> None:
    """At most one halt at a time, and none after both lifted it."""
    harness = server_harness
    admin = harness.user()
    for n in range(ROUNDS):
        run_together(*[lambda: halt(harness, admin)] * 3)
        assert len(rows(harness, "SELECT id FROM trading_halts WHERE running = 1")) == 1
        assert len(rows(harness, "SELECT id FROM trading_halts")) == n + 1
        run_together(*[lambda: resume(harness, admin)] * 3)
        assert rows(harness, "SELECT id FROM trading_halts WHERE running = 1") == []


def test_amend_against_amend(server_harness: TradingHarness) -> None:
    """The order has all terms of the last one and reserves exactly their cost."""
    harness = server_harness
    terms = ((60_000, 5), (61_000, 20), (62_000, 9))
    for _ in range(ROUNDS):
        user = harness.user()
        order = harness.place(user, Side.BUY, 10, limit=59_000)
        run_together(
            *[
                lambda limit=limit, quantity=quantity: harness.amend(
                    user, order.id, limit=limit, quantity=quantity  # noqa: B023
                )
                for limit, quantity in terms
            ]
        )  # fmt: skip
        after = harness.order(user, order.id)
        assert (after.price, after.quantity) in terms
        cost = after.quantity * (after.price or 0)
        assert cash(harness, user) == (CASH, cost + cost * 150 // 1_000_000)
    settled(harness)


def test_concurrent_orders_with_one_client_order_id(server_harness: TradingHarness) -> None:
    """Five at once: one order, one reservation."""
    harness = server_harness
    for _ in range(ROUNDS):
        user = harness.user()
        placing = outcome(
            lambda: harness.place(user, Side.BUY, 1, limit=60_000, client_order_id="mine"),  # noqa: B023
            ClientOrderIdTaken,
        )
        results = run_together(*[placing] * 5)
        assert sum(isinstance(result, OrderRecord) for result in results) == 1
        assert cash(harness, user) == (CASH, 60_009)
    settled(harness)


@pytest.mark.parametrize("side", Side)
def test_settlement_of_a_part_against_cancellation_of_the_rest(
    volume_harness: TradingHarness, side: Side
) -> None:
    """In either order the part is paid once and the rest is released once."""
    harness = volume_harness
    for _ in range(ROUNDS):
        user, order, balance = partly_executed_order(harness, side)
        (settle,) = harness.sent
        harness.sent.clear()
        _, result = run_together(lambda: harness.run(settle), cancelling(harness, user, order))  # noqa: B023
        assert result is None
        settled(harness)
        assert harness.order(user, order.id).executed_quantity == 4
        assert cash(harness, user) == (
            balance + (-276_041 if side is Side.BUY else 284_000 - 42 - 142 - 426),
            0,
        )
        assert shares(harness, user) == ((4, 0) if side is Side.BUY else (6, 0))


def partly_executed_order(harness: TradingHarness, side: Side) -> tuple[UUID, OrderRecord, int]:
    """Return a new user, an order of ten with four executed, and the cash before."""
    user = harness.user()
    harness.tick(70_000)
    if side is Side.SELL:
        harness.place(user, Side.BUY, 10)
        harness.tick(70_000, volume=10)
        harness.match()
        harness.run_all()
    balance = cash(harness, user)[0]
    order = harness.place(user, side, 10, limit=69_000 if side is Side.BUY else 71_000)
    harness.tick(68_500 if side is Side.BUY else 71_500, volume=4)
    harness.match()
    harness.run(harness.sent.pop())
    return user, order, balance


def test_all_use_cases_at_once_on_a_few_accounts(volume_harness: TradingHarness) -> None:
    """Placing, amending, cancelling, matching, executing, settling and sweeping in threads: no
    errors but domain errors, and all work is done at the end.
    """
    harness = volume_harness
    users = [harness.user() for _ in range(3)]
    for _ in range(ROUNDS):
        harness.clock.advance(seconds=3)
        harness.tick(70_000, volume=30)
        open_orders = rows(
            harness, "SELECT id, user_id FROM orders WHERE finished_at IS NULL ORDER BY id"
        )
        mailbox = [*harness.sent, *sweep(harness).requests]
        harness.sent.clear()
        works: list[Callable[[], object]] = [
            harness.match,
            *[lambda one=one: harness.run(one) for one in mailbox[:4]],
        ]
        for n, user in enumerate(users):
            limit = 69_500 + 100 * n
            works.append(
                lambda user=user, limit=limit: harness.place(
                    user, Side.BUY, 20, limit=limit, time_in_force=TimeInForce.GTC
                )
            )
            works.append(lambda user=user: harness.place(user, Side.SELL, 5))
        for row in open_orders[:3]:
            owner, order = UUID(bytes=row["user_id"]), UUID(bytes=row["id"])
            works.append(lambda owner=owner, order=order: harness.amend(owner, order, limit=70_000))
            works.append(lambda owner=owner, order=order: harness.cancel(owner, order))
        harness.tick(69_500, volume=15)
        run_together(*[outcome(work, DomainError) for work in works])
        assert harness.breaches() == []
    harness.match()
    for user in users:
        cancel_all(harness, user)
    harness.clock.advance(seconds=40)
    while requests := sweep(harness).requests:
        harness.sent += requests
        harness.run_all()
        harness.clock.advance(seconds=40)
    assert [cash(harness, user)[1] for user in users] == [0] * 3
    assert rows(harness, "SELECT * FROM pending_fills") == []
    assert harness.breaches() == []
