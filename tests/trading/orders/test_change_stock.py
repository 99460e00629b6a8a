"""Halt, resume and delist stocks, and their liquidation trading and leverage."""

from uuid import UUID

import pytest

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, cash, events, shares
from trading.account_events.stream import EventKind
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.change_stock import (
    ChangedStock,
    delist_stock,
    halt_stock,
    resume_stock,
    set_leverage,
    set_liquidation,
)
from trading.orders.expire import end_delisted
from trading.orders.explain import WaitingReason, explain_waiting, get_order_facts
from trading.orders.fill_price import FillRule
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.model import StockChange

GTC = TimeInForce.GTC


def halt(harness: TradingHarness, code: str = SAMSUNG) -> ChangedStock:
    return harness.core.run(halt_stock, stock_code=code)


def resume(harness: TradingHarness, code: str = SAMSUNG) -> ChangedStock:
    return harness.core.run(resume_stock, stock_code=code)


def changes(harness: TradingHarness, user: UUID) -> list[object]:
    """Return the changes of stocks that a user was informed of."""
    return [
        event.data["change"] for event in events(harness, user) if event.kind is EventKind.STOCK
    ]


def prices(harness: TradingHarness, user: UUID, order_id: UUID) -> list[tuple[int, str]]:
    return [(fill.price, fill.rule) for fill in harness.order(user, order_id).executions]


def explained_reasons(harness: TradingHarness, user: UUID, order_id: UUID) -> list[WaitingReason]:
    """Return why an open order waits."""
    hours, now = harness.core.market_hours(), harness.clock()
    facts = harness.core.read(
        get_order_facts,
        user_id=user,
        order_id=order_id,
        hours=hours,
        settings=harness.settings,
        now=now,
    )
    waiting = explain_waiting(
        facts,
        harness.core.quotes.last_tick(SAMSUNG),
        market_available=True,
        hours=hours,
        settings=harness.settings,
        now=now,
    )
    return list(waiting.reasons)


@pytest.mark.every_database
def test_orders_over_a_halt_fill_at_the_first_print_after_it(harness: TradingHarness) -> None:
    """Whatever their limits; trades during the halt fill nothing, also when read afterwards."""
    user = harness.user()
    bought(harness, user, 10)
    buys = [harness.place(user, Side.BUY, 1, limit=limit) for limit in (68_000, 69_000)]
    sale = harness.place(user, Side.SELL, 1, limit=71_000, time_in_force=GTC)
    harness.match()
    harness.clock.advance(minutes=1)
    halt(harness)
    harness.clock.advance(minutes=1)
    harness.tick(60_000)
    harness.match()
    harness.tick(61_000)
    harness.clock.advance(minutes=1)
    resume(harness)
    harness.match()
    harness.run_all()
    assert [prices(harness, user, one.id) for one in (*buys, sale)] == [[], [], []]

    harness.clock.advance(seconds=5)
    harness.tick(65_000)
    harness.clock.advance(seconds=5)
    harness.tick(72_000)
    harness.match()
    harness.run_all()

    auction = [(65_000, FillRule.RESTING_AT_AUCTION)]
    assert [prices(harness, user, one.id) for one in buys] == [auction, auction]
    assert prices(harness, user, sale.id) == [(71_000, FillRule.RESTING_AT_LIMIT)]
    assert harness.breaches() == []


def test_halt_of_another_stock_makes_no_auction(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.match()
    harness.clock.advance(seconds=5)
    halt(harness, HYNIX)
    resume(harness, HYNIX)
    harness.clock.advance(seconds=5)
    harness.tick(65_000)
    harness.match()
    harness.run_all()

    assert prices(harness, user, order.id) == [(69_000, FillRule.RESTING_AT_LIMIT)]


def test_market_order_after_a_halt_awaits_the_first_print(harness: TradingHarness) -> None:
    """The last trade before the halt is fresh, but no price any more."""
    user = harness.user()
    harness.tick(70_000)
    harness.clock.advance(seconds=1)
    halt(harness)
    harness.clock.advance(seconds=1)
    resume(harness)
    order = harness.place(user, Side.BUY, 1)
    harness.run_all()
    assert prices(harness, user, order.id) == []
    assert explained_reasons(harness, user, order.id) == [
        WaitingReason.PRINT_DURING_HALT,
        WaitingReason.PRINT_BEFORE_ACCEPTANCE,
    ]

    harness.clock.advance(seconds=2)
    harness.tick(72_000)
    harness.match()
    harness.run_all()
    assert [price for price, _ in prices(harness, user, order.id)] == [72_000]


def test_halt_refuses_orders_and_keeps_open_ones(harness: TradingHarness) -> None:
    """They can be reduced and cancelled."""
    user = harness.user()
    harness.tick(70_000)
    kept, cancelled = (harness.place(user, Side.BUY, 10, limit=60_000) for _ in range(2))
    halt(harness)

    with pytest.raises(StockNotTradable) as refused:
        harness.place(user, Side.BUY, 1, limit=60_000)
    assert refused.value.facts == {"stock_code": SAMSUNG, "stock_status": "HALTED"}
    harness.cancel(user, cancelled.id)
    harness.amend(user, kept.id, quantity=4)
    assert (harness.order(user, kept.id).status, harness.order(user, kept.id).quantity) == (
        "PENDING",
        4,
    )
    resume(harness)
    harness.place(user, Side.BUY, 1, limit=60_000)
    assert harness.breaches() == []


def test_delisting_cancels_open_orders_and_releases_their_reservations(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    bought(harness, user, 10)
    balance, _ = cash(harness, user)
    buy = harness.place(user, Side.BUY, 10, limit=60_000)
    sale = harness.place(user, Side.SELL, 10, limit=80_000, time_in_force=GTC)
    other = harness.place(user, Side.BUY, 1, HYNIX, limit=100_000)

    changed = harness.core.run(delist_stock, stock_code=SAMSUNG)

    assert (changed.change, changed.informed) == (StockChange.DELISTED, 1)
    for order in (buy, sale):
        ended = harness.order(user, order.id)
        assert (ended.status, ended.reason) == ("CANCELLED", "stock-not-tradable")
    assert harness.order(user, other.id).status == "PENDING"
    assert cash(harness, user) == (balance, harness.order(user, other.id).reserved_cash)
    assert shares(harness, user) == (10, 0)
    with pytest.raises(StockNotTradable):
        harness.place(user, Side.SELL, 1)
    with pytest.raises(StockNotTradable):
        halt(harness)
    assert harness.breaches() == []


def test_delisting_leaves_orders_beyond_a_batch_to_the_expiry(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    size = harness.settings.stage_batch_size
    small = harness.settings.model_copy(update={"stage_batch_size": 2})
    assert size > 2
    for _ in range(3):
        harness.place(user, Side.BUY, 1, limit=60_000)
    object.__setattr__(harness.core, "settings", small)

    harness.core.run(delist_stock, stock_code=SAMSUNG)
    assert cash(harness, user)[1] > 0
    harness.core.run(end_delisted)
    assert cash(harness, user)[1] == 0


def test_holders_and_owners_of_open_orders_are_informed(harness: TradingHarness) -> None:
    """Each once; other users and former owners are not."""
    holder, owner, both, former, other = (harness.user() for _ in range(5))
    for user in (holder, both):
        bought(harness, user, 1)
    for user in (owner, both):
        harness.place(user, Side.BUY, 1, limit=60_000)
    harness.cancel(former, harness.place(former, Side.BUY, 1, limit=60_000).id)
    bought(harness, other, 1, 200_000, HYNIX)

    changed = halt(harness)
    resume(harness)
    harness.core.run(set_liquidation, stock_code=SAMSUNG, in_liquidation=True)
    harness.core.run(set_leverage, stock_code=SAMSUNG, leverage_percent=-200)

    informed_of = ["halted", "resumed", "liquidation-started", "leverage-changed"]
    assert changed.informed == 3
    assert [changes(harness, user) for user in (holder, owner, both, former, other)] == [
        informed_of,
        informed_of,
        informed_of,
        [],
        [],
    ]
    assert events(harness, both)[-1].data == {
        "stock_code": SAMSUNG,
        "change": "leverage-changed",
        "status": "TRADABLE",
        "leverage": "-2",
        "in_liquidation": True,
    }
    assert harness.breaches() == []


def test_repeated_change_has_no_effect(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 1)
    for use_case, arguments in (
        (halt_stock, {}),
        (resume_stock, {}),
        (set_liquidation, {"in_liquidation": True}),
        (set_leverage, {"leverage_percent": 150}),
        (delist_stock, {}),
    ):
        first = harness.core.run(use_case, stock_code=SAMSUNG, **arguments)
        again = harness.core.run(use_case, stock_code=SAMSUNG, **arguments)
        assert first.change is not None
        assert (again.change, again.informed, again.stock) == (None, 0, first.stock)
    assert len(changes(harness, user)) == 5


def test_mistaken_delisting_is_taken_back(harness: TradingHarness) -> None:
    harness.tick(70_000)
    user = harness.user()
    harness.core.run(delist_stock, stock_code=SAMSUNG)
    assert resume(harness).stock.status == "TRADABLE"
    assert harness.place(user, Side.BUY, 1, limit=60_000).status == "PENDING"


@pytest.mark.parametrize("use_case", [halt_stock, resume_stock, delist_stock])
def test_unknown_stock_is_refused(harness: TradingHarness, use_case: object) -> None:
    with pytest.raises(StockNotFound):
        harness.core.run(use_case, stock_code="A999999")  # type: ignore[arg-type]
