"""Placing orders: reservations and refusals."""

import pytest
from sqlalchemy import update

from tests.support.servers import Valkey
from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cash, everything, set_status, shares
from trading.errors import DomainError, ValidationFailed
from trading.exchange.order_types import Side
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.marketdata.errors import NoLivePrice
from trading.orders.errors import ClientOrderIdTaken
from trading.orders.model import buy_reservation, collared_price
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.tables import STOCKS
from trading.tasks import Task, TaskRequest


@pytest.mark.parametrize(
    ("price", "quantity", "reserved"),
    [(70_000, 10, 714_107), (1_999, 3, 6_117), (1, 1, 2), (333, 100, 34_005)],
)
def test_buy_reserves_the_exact_cost(
    harness: TradingHarness, price: int, quantity: int, reserved: int
) -> None:
    """The price plus 2 %, rounded up, times the quantity, plus 0.015 % rounded down; the balance is
    unchanged.
    """
    user = harness.user()
    harness.tick(price)
    order = harness.place(user, Side.BUY, quantity)
    assert order.reserved_cash == reserved
    assert cash(harness, user) == (10_000_000, reserved)
    assert harness.sent == [TaskRequest(Task.EXECUTE_ORDERS, (order.id,))]
    assert harness.breaches() == []


def test_sale_reserves_shares(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 10)
    order = harness.place(user, Side.SELL, 4)
    assert order.reserved_cash == 0
    assert shares(harness, user) == (10, 4)
    with pytest.raises(InsufficientQuantity) as refused:
        harness.place(user, Side.SELL, 7)
    assert refused.value.facts == {
        "needed": 7,
        "held": 10,
        "reserved": 4,
        "reserved_by": [str(order.id)],
    }
    assert harness.breaches() == []


def test_bought_shares_cannot_be_sold_before_they_are_applied(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 10)
    harness.run(harness.sent.pop(0))
    with pytest.raises(InsufficientQuantity):
        harness.place(user, Side.SELL, 1)


def test_insufficient_cash_names_the_largest_affordable_quantity(harness: TradingHarness) -> None:
    """That quantity is accepted, one more is not."""
    user = harness.user()
    harness.tick(70_000)
    with pytest.raises(InsufficientCash) as refused:
        harness.place(user, Side.BUY, 1_000)
    facts = refused.value.facts
    assert facts == {
        "needed": 71_400_000 + 10_710,
        "available": 10_000_000,
        "largest_quantity": 140,
    }
    with pytest.raises(InsufficientCash):
        harness.place(user, Side.BUY, 141)
    assert harness.place(user, Side.BUY, 140).status == "PENDING"


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
@pytest.mark.parametrize("side", Side)
def test_quantity_out_of_bounds_is_refused(
    harness: TradingHarness, side: Side, quantity: int
) -> None:
    user = harness.user()
    harness.tick(70_000)
    with pytest.raises(ValidationFailed) as refused:
        harness.place(user, side, quantity)
    assert refused.value.facts == {"field": "quantity", "limit": 1_000_000}


def test_unknown_stock_is_refused(harness: TradingHarness) -> None:
    """Even if it has a tick."""
    user = harness.user()
    harness.tick(70_000, "A999999")
    with pytest.raises(StockNotFound) as refused:
        harness.place(user, Side.BUY, 1, "A999999")
    assert refused.value.facts == {"stock_code": "A999999"}


@pytest.mark.parametrize("status", ["HALTED", "DELISTED"])
@pytest.mark.parametrize("side", Side)
def test_halted_or_delisted_stock_is_refused(
    harness: TradingHarness, side: Side, status: str
) -> None:
    user = harness.user()
    bought(harness, user, 1)
    set_status(harness, status)
    with pytest.raises(StockNotTradable) as refused:
        harness.place(user, side, 1)
    assert refused.value.facts["stock_code"] == SAMSUNG


def set_reference_price(harness: TradingHarness, price: int | None) -> None:
    change = update(STOCKS).where(STOCKS.c.code == SAMSUNG).values(reference_price=price)
    harness.do(lambda session: session.execute(change))


def test_market_buy_without_a_live_price_reserves_the_upper_limit(harness: TradingHarness) -> None:
    """Computed from the last imported close: 70,000 won make 91,000."""
    user = harness.user()
    set_reference_price(harness, 70_000)
    order = harness.place(user, Side.BUY, 1)
    assert order.reserved_cash == 91_000 + 13
    harness.tick(69_000)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 69_000
    assert harness.breaches() == []


@pytest.mark.parametrize("was_traded", [True, False])
def test_market_buy_in_liquidation_reserves_the_last_price_raised_by_the_collar(
    harness: TradingHarness, was_traded: bool
) -> None:
    """There is no upper limit, and no trade of today yet."""
    user = harness.user()
    change = {"in_liquidation": True, "reference_price": None if was_traded else 1_000}
    liquidate = update(STOCKS).where(STOCKS.c.code == SAMSUNG).values(change)
    harness.do(lambda session: session.execute(liquidate))
    if was_traded:
        harness.tick(1_000)
        harness.clock.advance(days=1)

    order = harness.place(user, Side.BUY, 100)

    assert order.reserved_cash == buy_reservation(
        quantity=100,
        price=collared_price(1_000, harness.settings.market_buy_collar_bp),
        commission_ppm=harness.settings.commission_ppm,
    )
    harness.tick(180)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 180
    assert harness.breaches() == []


def test_market_buy_before_the_first_trade_reserves_by_the_last_trade_of_an_earlier_day(
    harness: TradingHarness,
) -> None:
    """It is newer than the imported close."""
    user = harness.user()
    set_reference_price(harness, 30_000)
    harness.tick(70_000)
    harness.clock.advance(days=1)

    assert harness.place(user, Side.BUY, 1).reserved_cash == 91_000 + 13


def test_market_buy_after_a_quiet_time_is_filled_by_the_next_trade(harness: TradingHarness) -> None:
    """Its reservation is by the last trade of the day."""
    user = harness.user()
    harness.tick(70_000, age_ms=23_000)
    order = harness.place(user, Side.BUY, 1)
    harness.clock.advance(seconds=37)
    harness.tick(69_500)
    harness.clock.advance(seconds=1)
    harness.tick(69_000)
    harness.match()
    harness.run_all()
    assert harness.order(user, order.id).executions[0].price == 69_500
    assert harness.breaches() == []


def test_market_buy_without_any_price_is_refused_and_a_sale_waits(harness: TradingHarness) -> None:
    """A buy could not compute its reservation."""
    user = harness.user()
    bought(harness, user, 1)
    set_reference_price(harness, None)
    harness.core.redis.flushall()
    with pytest.raises(NoLivePrice) as refused:
        harness.place(user, Side.BUY, 1)
    assert refused.value.facts == {"stock_code": SAMSUNG, "age_ms": None, "retry_after_s": 3}
    assert harness.place(user, Side.SELL, 1).status == "PENDING"


def test_market_buy_without_redis_is_refused_and_a_sale_is_accepted(
    harness: TradingHarness, valkey_server: Valkey
) -> None:
    user = harness.user()
    bought(harness, user, 1)
    valkey_server.stop()
    try:
        with pytest.raises(NoLivePrice):
            harness.place(user, Side.BUY, 1)
        sale = harness.place(user, Side.SELL, 1)
    finally:
        valkey_server.start()
    harness.tick(71_000)
    harness.match()
    harness.run_all()
    assert harness.order(user, sale.id).status == "FILLED"
    assert harness.breaches() == []


def test_refusal_leaves_no_trace(harness: TradingHarness) -> None:
    """No order, no reservation and no task."""
    user = harness.user()
    harness.tick(70_000)
    before = everything(harness)
    for side, quantity, code in (
        (Side.BUY, 1_000, SAMSUNG),
        (Side.SELL, 1, SAMSUNG),
        (Side.BUY, 1, "A999999"),
    ):
        with pytest.raises(DomainError):
            harness.place(user, side, quantity, code, client_order_id="mine")
    assert everything(harness) == before
    assert harness.sent == []
    assert harness.place(user, Side.BUY, 1, client_order_id="mine").client_order_id == "mine"


def test_client_order_id_is_unique_for_each_user(harness: TradingHarness) -> None:
    user, other = harness.user(), harness.user()
    harness.tick(70_000)
    order = harness.place(user, Side.BUY, 1, client_order_id="mine")
    with pytest.raises(ClientOrderIdTaken) as refused:
        harness.place(user, Side.BUY, 2, client_order_id="mine")
    assert refused.value.facts == {"client_order_id": "mine", "order_id": str(order.id)}
    harness.place(user, Side.BUY, 1, client_order_id="MINE")
    harness.place(other, Side.BUY, 1, client_order_id="mine")
    harness.run_all()
    assert harness.breaches() == []


def test_acceptance_needs_the_same_number_of_statements_with_any_history(
    harness: TradingHarness,
) -> None:
    user = harness.user()
    harness.tick(70_000)
    counts = []
    for _ in range(11):
        with statements_counted(harness.core.database.engine) as statements:
            harness.place(user, Side.BUY, 1)
        counts.append(len(statements))
        harness.run_all()
    assert len(set(counts)) == 1


def test_collar_and_commission_settings_change_the_reservation(
    migrated_sqlite: str, valkey_url: str
) -> None:
    changed = settings_for(
        migrated_sqlite, valkey_url, market_buy_collar_bp=0, commission_ppm=0, starting_cash=70_000
    )
    with opened(changed) as harness:
        user = harness.user()
        harness.tick(70_000)
        assert harness.place(user, Side.BUY, 1).reserved_cash == 70_000
        assert cash(harness, user) == (70_000, 70_000)
