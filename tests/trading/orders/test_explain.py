"""Explanations: evidence and costs of fills, and every reason why an open order waits."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, set_status
from trading.db.ids import new_id
from trading.exchange.order_types import Side, TimeInForce
from trading.halts import trading
from trading.orders.errors import OrderNotFound
from trading.orders.explain import (
    Charge,
    ChargeName,
    OrderFacts,
    OrderStage,
    Waiting,
    WaitingReason,
    explain_fills,
    explain_waiting,
    get_order_facts,
)
from trading.orders.limit_distance import Distance
from trading.orders.records import OrderRecord

R = WaitingReason


def facts_of(harness: TradingHarness, user: UUID, order_id: UUID) -> OrderFacts:
    return harness.core.read(
        get_order_facts,
        user_id=user,
        order_id=order_id,
        hours=harness.core.market_hours(),
        settings=harness.settings,
        now=harness.clock(),
    )


def waiting_for(
    harness: TradingHarness, user: UUID, order: OrderRecord, *, market_available: bool = True
) -> Waiting:
    """Return what an order waits for now."""
    tick = harness.core.quotes.last_tick(order.stock_code) if market_available else None
    return explain_waiting(
        facts_of(harness, user, order.id),
        tick,
        market_available=market_available,
        hours=harness.core.market_hours(),
        settings=harness.settings,
        now=harness.clock(),
    )


def reasons(harness: TradingHarness, user: UUID, order: OrderRecord, **more: Any) -> list[str]:
    return [str(reason) for reason in waiting_for(harness, user, order, **more).reasons]


def halt_trading(harness: TradingHarness) -> None:
    harness.core.run(trading.halt_trading, trading.HaltRequest(halt_id=new_id(), by=harness.user()))


@pytest.fixture
def volume_harness(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    with opened(settings_for(migrated_sqlite, valkey_url, fill_profile="volume")) as harness:
        yield harness


@pytest.fixture
def krx_harness(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    with opened(settings_for(migrated_sqlite, valkey_url, market_hours="krx")) as harness:
        yield harness


def test_order_beyond_the_market_waits_for_its_price(harness: TradingHarness) -> None:
    """The distance is given in won, basis points and steps of the grid."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 10, limit=69_000)

    waiting = waiting_for(harness, user, order)

    assert (waiting.stage, waiting.reasons) == (OrderStage.IN_BOOK, (R.PRICE_NOT_MET,))
    assert waiting.distance == Distance(won=1_000, basis_points=143, steps=10)
    assert (waiting.price, waiting.quantity, waiting.tick_age_ms, waiting.next_check_at) == (
        69_000,
        10,
        0,
        None,
    )
    assert waiting.expires_at == datetime(2026, 11, 20, 15, tzinfo=UTC)


def test_gtc_order_does_not_expire(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)

    waiting = waiting_for(
        harness, user, harness.place(user, Side.BUY, 1, limit=69_000, time_in_force=TimeInForce.GTC)
    )

    assert waiting.expires_at is None


def test_order_with_a_worker_is_being_executed(harness: TradingHarness) -> None:
    """From its acceptance at the market, or from its pending fill, until it is filled."""
    user = harness.user()
    harness.tick(70_000)
    at_market = harness.place(user, Side.BUY, 1)
    marketable = harness.place(user, Side.BUY, 1, limit=71_000)
    resting = harness.place(user, Side.BUY, 1, limit=69_000)

    assert (
        reasons(harness, user, at_market)
        == reasons(harness, user, marketable)
        == ["being-executed"]
    )
    assert (
        waiting_for(harness, user, at_market).stage
        is waiting_for(harness, user, marketable).stage
        is OrderStage.IN_EXECUTION
    )
    assert waiting_for(harness, user, at_market).distance is None
    assert waiting_for(harness, user, marketable).distance == Distance(0, 0, 0)
    harness.tick(68_000)
    assert reasons(harness, user, resting) == ["awaiting-match"]
    harness.match()
    harness.tick(72_000)
    assert reasons(harness, user, resting) == ["being-executed"]
    assert waiting_for(harness, user, resting).stage is OrderStage.IN_EXECUTION


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_due_order_without_a_worker_is_delayed(harness: TradingHarness, side: Side) -> None:
    """Since it is due, however fresh the market is: it is not being executed."""
    user = harness.user()
    bought(harness, user, 5)
    harness.match()
    harness.tick(70_000)
    accepted_at = harness.clock()
    at_market = harness.place(user, side, 1)
    resting = harness.place(user, side, 1, limit=69_000 if side is Side.BUY else 71_000)

    for seconds in (14, 66):
        harness.clock.advance(seconds=seconds)
        harness.tick(70_000)
        delayed = seconds == 66
        found = waiting_for(harness, user, at_market)
        assert (R.BEING_EXECUTED in found.reasons) is not delayed
        assert (R.PROCESSING_DELAYED in found.reasons) is delayed
        assert found.delayed_since == (accepted_at if delayed else None)

    assert reasons(harness, user, resting) == ["price-not-met"]


def test_marketable_order_in_the_book_without_a_matcher_is_delayed(harness: TradingHarness) -> None:
    """Since the matcher had last read all trades, or since the acceptance."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    accepted_at = harness.clock()
    harness.clock.advance(seconds=80)
    harness.tick(68_000)

    found = waiting_for(harness, user, order)

    assert (found.reasons, found.delayed_since) == ((R.PROCESSING_DELAYED,), accepted_at)
    assert found.stage is OrderStage.IN_BOOK
    harness.match()
    assert reasons(harness, user, order) == ["being-executed"]


def test_matched_order_without_a_worker_is_delayed(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.tick(68_000)
    harness.match()
    found_at = harness.clock()
    harness.clock.advance(seconds=80)

    found = waiting_for(harness, user, order)

    assert (found.reasons, found.delayed_since) == ((R.PROCESSING_DELAYED,), found_at)


def test_overdue_order_is_delayed_without_a_price_too(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    harness.core.redis.flushall()
    harness.clock.advance(seconds=80)

    assert reasons(harness, user, order) == ["no-tick", "processing-delayed"]


def test_halted_order_is_not_delayed(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    halt_trading(harness)
    harness.clock.advance(seconds=80)

    assert waiting_for(harness, user, order).delayed_since is None


def test_sale_without_a_fresh_trade_waits_for_one(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 5)
    harness.core.redis.flushall()

    sale = harness.place(user, Side.SELL, 1)
    assert reasons(harness, user, sale) == ["no-tick"]
    harness.tick(70_000, age_ms=10_001)
    assert reasons(harness, user, sale) == ["stale-feed", "print-before-acceptance"]
    harness.tick(70_000)
    assert reasons(harness, user, sale) == ["awaiting-match"]


def test_unavailable_market_is_reported(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)

    waiting = waiting_for(harness, user, order, market_available=False)

    assert waiting.reasons == (R.MARKET_UNAVAILABLE,)
    assert (waiting.price, waiting.tick, waiting.distance) == (69_000, None, None)


def test_trade_before_the_acceptance_does_not_fill_the_order(harness: TradingHarness) -> None:
    """It was stale when the order arrived."""
    user = harness.user()
    harness.tick(70_000, age_ms=10_001)

    order = harness.place(user, Side.BUY, 1, limit=71_000)

    assert reasons(harness, user, order) == ["stale-feed", "print-before-acceptance"]
    harness.tick(71_500)
    assert reasons(harness, user, order) == ["price-not-met"]


def test_amended_order_waits_for_a_trade_after_its_amendment(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)

    harness.amend(user, order.id, limit=71_000)

    assert reasons(harness, user, order) == ["print-before-acceptance"]
    assert waiting_for(harness, user, order).stage is OrderStage.IN_BOOK


def test_trade_used_up_by_other_orders_is_reported_as_not_reached(
    volume_harness: TradingHarness,
) -> None:
    harness = volume_harness
    first, second = harness.user(), harness.user()
    harness.tick(70_000)
    harness.place(first, Side.BUY, 5, limit=70_000)
    order = harness.place(second, Side.BUY, 5, limit=70_000)
    harness.tick(70_000, volume=5)
    assert reasons(harness, second, order) == ["awaiting-match"]

    harness.match()

    assert reasons(harness, second, order) == ["not-reached"]


def test_market_order_by_volume_waits_for_the_next_trade(volume_harness: TradingHarness) -> None:
    harness = volume_harness
    user = harness.user()
    harness.tick(70_000)

    waiting = waiting_for(harness, user, harness.place(user, Side.BUY, 1))

    assert (waiting.stage, waiting.reasons) == (OrderStage.IN_BOOK, (R.PRINT_BEFORE_ACCEPTANCE,))
    assert (waiting.price, waiting.distance) == (None, None)


def test_every_block_is_named(harness: TradingHarness) -> None:
    """With a block, the order is never reported as about to be filled."""
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    marketable = harness.place(user, Side.BUY, 1, limit=71_000)

    set_status(harness, "HALTED")
    assert reasons(harness, user, order) == ["stock-halted", "price-not-met"]
    assert reasons(harness, user, marketable) == ["stock-halted"]
    harness.clock.advance(seconds=1)
    halt_trading(harness)
    assert reasons(harness, user, order) == ["trading-halted", "stock-halted", "price-not-met"]
    assert waiting_for(harness, user, order).halted_since == harness.clock()
    set_status(harness, "DELISTED")
    assert reasons(harness, user, marketable) == ["trading-halted", "stock-delisted"]


@pytest.mark.parametrize(
    ("at", "code", "expected", "opens"),
    [
        ("2026-11-20T10:00", SAMSUNG, ["price-not-met"], None),
        ("2026-11-20T15:29", SAMSUNG, ["price-not-met"], None),
        (
            "2026-11-20T15:45",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-20T16:00",
        ),
        ("2026-11-20T17:00", SAMSUNG, ["price-not-met"], None),
        (
            "2026-11-20T17:00",
            "A069500",
            ["closed-session", "print-outside-session", "price-not-met"],
            "2026-11-23T09:00",
        ),
        (
            "2026-11-20T21:00",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-23T09:00",
        ),
        (
            "2026-11-21T12:00",
            SAMSUNG,
            ["closed-session", "stale-feed", "price-not-met"],
            "2026-11-23T09:00",
        ),
    ],
)
def test_closed_market_is_reported_with_its_next_opening(
    krx_harness: TradingHarness, at: str, code: str, expected: list[str], opens: str | None
) -> None:
    harness = krx_harness
    harness.clock.now = datetime.fromisoformat("2026-11-20T09:30+09:00").astimezone(UTC)
    user = harness.user()
    harness.tick(10_000, code)
    order = harness.place(user, Side.BUY, 1, code, limit=9_000, time_in_force=TimeInForce.GTC)
    harness.clock.now = datetime.fromisoformat(f"{at}+09:00").astimezone(UTC)
    if "stale-feed" not in expected:
        harness.tick(10_000, code)

    waiting = waiting_for(harness, user, order)

    assert list(waiting.reasons) == expected
    assert waiting.next_opening == (opens and datetime.fromisoformat(f"{opens}+09:00"))


def test_nextrade_print_in_the_after_market_fills_nothing(
    krx_harness: TradingHarness,
) -> None:
    harness = krx_harness
    harness.clock.now = datetime.fromisoformat("2026-11-20T17:00+09:00").astimezone(UTC)
    user = harness.user()
    tick = harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    nextrade = msgspec.structs.replace(
        tick, price=68_000, exchange="NXT", position=tick.position._replace(n=tick.position.n + 1)
    )

    waiting = explain_waiting(
        facts_of(harness, user, order.id),
        nextrade,
        market_available=True,
        hours=harness.core.market_hours(),
        settings=harness.settings,
        now=harness.clock(),
    )

    assert waiting.reasons == (R.PRINT_OUTSIDE_SESSION,)


def test_trade_during_a_halt_fills_nothing_afterwards(harness: TradingHarness) -> None:
    user, administrator = harness.user(), harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.core.run(trading.halt_trading, trading.HaltRequest(halt_id=new_id(), by=administrator))
    harness.clock.advance(seconds=1)
    harness.tick(68_000)
    harness.clock.advance(seconds=1)
    harness.core.run(trading.resume_trading, by=administrator)
    harness.match()

    assert reasons(harness, user, order) == ["print-during-halt"]
    assert waiting_for(harness, user, order).halted_since is None
    harness.tick(68_000)
    assert reasons(harness, user, order) == ["awaiting-match"]


def test_order_whose_day_ended_is_about_to_expire(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.clock.advance(days=1)
    harness.tick(68_000)

    assert reasons(harness, user, order) == ["day-ended"]


def test_costs_of_a_sale_are_itemised(harness: TradingHarness) -> None:
    """Commission and both taxes with the rates of their day; a purchase pays no tax."""
    user = harness.user()
    buy = bought(harness, user, 10)
    harness.tick(71_300)
    sale = harness.place(user, Side.SELL, 4)
    harness.clock.advance(seconds=1.5)
    harness.tick(71_300)
    harness.run_all()

    (purchase,) = explain_fills(facts_of(harness, user, buy.id))
    (sold,) = explain_fills(facts_of(harness, user, sale.id))

    assert purchase.charges == (Charge(ChargeName.COMMISSION, 150, 105),)
    assert sold.charges == (
        Charge(ChargeName.COMMISSION, 150, 42),
        Charge(ChargeName.TRANSACTION_TAX, 500, 142),
        Charge(ChargeName.RURAL_TAX, 1_500, 427),
    )
    assert (sold.ms_to_fill, sold.ms_to_settlement, sold.ms_to_portfolio) == (1_500, 1_500, 1_500)


def test_rate_is_omitted_when_the_stock_has_changed_its_market(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    bought(harness, user, 10)
    sale = harness.place(user, Side.SELL, 4)
    harness.run_all()
    facts = replace(facts_of(harness, user, sale.id), market="KOSDAQ")

    (sold,) = explain_fills(facts)

    assert [(charge.rate_ppm, charge.amount) for charge in sold.charges] == [
        (150, 42),
        (None, 140),
        (None, 420),
    ]


def test_unfinished_stages_have_no_time(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)
    harness.run(harness.sent.pop(0))

    (fill,) = explain_fills(facts_of(harness, user, order.id))

    assert (fill.ms_to_fill, fill.ms_to_settlement, fill.ms_to_portfolio) == (0, None, None)


def test_explanation_of_another_users_order_is_not_found(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1)

    with pytest.raises(OrderNotFound):
        facts_of(harness, harness.user(), order.id)


def test_explanation_needs_four_statements(harness: TradingHarness) -> None:
    user = harness.user()
    order = bought(harness, user, 10)
    with statements_counted(harness.core.database.engine) as statements:
        facts_of(harness, user, order.id)
    assert len([one for one in statements if one.startswith("SELECT")]) == 4
