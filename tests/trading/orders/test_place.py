"""Stage one: what an order sets aside, and every refusal with its facts and without a trace."""

import pytest

from tests.support.servers import Valkey
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import bought, cash, everything, set_status, shares
from trading.errors import DomainError, ValidationFailed
from trading.exchange.order_types import Side
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.marketdata.errors import NoLivePrice
from trading.orders.errors import ClientOrderIdTaken
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.tasks import Task, TaskRequest


@pytest.mark.parametrize(
    ("price", "quantity", "reserved"),
    [(70_000, 10, 714_107), (1_999, 3, 6_117), (1, 1, 2), (333, 100, 34_005)],
)
def test_a_buy_reserves_to_the_won(
    harness: TradingHarness, price: int, quantity: int, reserved: int
) -> None:
    """The price plus 2 %, rounded up a share, times quantity, plus 0.015 % of that rounded down; cash itself does not move."""
    user = harness.user()
    harness.tick(price)
    order = harness.place(user, Side.BUY, quantity)
    assert order.reserved_cash == reserved
    assert cash(harness, user) == (10_000_000, reserved)
    assert harness.sent == [TaskRequest(Task.EXECUTE_ORDERS, (order.id,))]
    assert harness.breaches() == []


def test_a_sale_reserves_shares(harness: TradingHarness) -> None:
    """Shares are set aside, cash is not; what is set aside can't be sold again."""
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


def test_what_is_bought_cannot_be_sold_before_it_is_there(harness: TradingHarness) -> None:
    """Filled but not yet settled and applied, the shares are not for sale."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 10)
    harness.run(harness.sent.pop(0))
    with pytest.raises(InsufficientQuantity):
        harness.place(user, Side.SELL, 1)


def test_too_little_cash_is_told_with_the_largest_order_that_fits(harness: TradingHarness) -> None:
    """The refusal names what was needed and available; the quantity that it offers is accepted, one more is not."""
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
def test_a_quantity_out_of_bounds_is_refused(
    harness: TradingHarness, side: Side, quantity: int
) -> None:
    """No shares, fewer than none and more than the limit; the fact is the limit."""
    user = harness.user()
    harness.tick(70_000)
    with pytest.raises(ValidationFailed) as refused:
        harness.place(user, side, quantity)
    assert refused.value.facts == {"field": "quantity", "limit": 1_000_000}


def test_an_unknown_stock_is_refused(harness: TradingHarness) -> None:
    """A code that is not in the list, though it has a tick."""
    user = harness.user()
    harness.tick(70_000, "A999999")
    with pytest.raises(StockNotFound) as refused:
        harness.place(user, Side.BUY, 1, "A999999")
    assert refused.value.facts == {"stock_code": "A999999"}


@pytest.mark.parametrize("status", ["HALTED", "DELISTED"])
@pytest.mark.parametrize("side", Side)
def test_a_stock_that_is_not_traded_is_refused(
    harness: TradingHarness, side: Side, status: str
) -> None:
    """Neither side while it is halted or gone."""
    user = harness.user()
    bought(harness, user, 1)
    set_status(harness, status)
    with pytest.raises(StockNotTradable) as refused:
        harness.place(user, side, 1)
    assert refused.value.facts["stock_code"] == SAMSUNG


@pytest.mark.parametrize(("age_ms", "accepted"), [(10_000, True), (10_001, False)])
def test_a_buy_needs_a_fresh_price(harness: TradingHarness, age_ms: int, accepted: bool) -> None:
    """At the limit of freshness it is accepted, beyond it refused with the age."""
    user = harness.user()
    harness.tick(70_000, age_ms=age_ms)
    if accepted:
        harness.place(user, Side.BUY, 1)
        return
    with pytest.raises(NoLivePrice) as refused:
        harness.place(user, Side.BUY, 1)
    assert refused.value.facts == {"stock_code": SAMSUNG, "age_ms": age_ms}


def test_a_buy_without_any_price_is_refused_and_a_sale_waits(harness: TradingHarness) -> None:
    """A buy could not know what to reserve; a sale knows its shares."""
    user = harness.user()
    bought(harness, user, 1)
    harness.core.redis.flushall()
    with pytest.raises(NoLivePrice) as refused:
        harness.place(user, Side.BUY, 1)
    assert refused.value.facts == {"stock_code": SAMSUNG, "age_ms": None}
    assert harness.place(user, Side.SELL, 1).status == "PENDING"


def test_without_redis_a_buy_is_refused_and_a_sale_accepted(
    harness: TradingHarness, valkey_server: Valkey
) -> None:
    """The market is away: nothing hangs, nothing fails otherwise, and the sale fills when it is back."""
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
    harness.run_all()
    assert harness.order(user, sale.id).status == "FILLED"
    assert harness.breaches() == []


def test_a_refusal_leaves_no_trace(harness: TradingHarness) -> None:
    """After refusals of every later step there is no order, no reservation and no wake-up."""
    user = harness.user()
    harness.tick(70_000)
    before = everything(harness)
    for side, quantity, code in (
        (Side.BUY, 1_000, SAMSUNG),
        (Side.SELL, 1, SAMSUNG),
        (Side.BUY, 1, HYNIX),
    ):
        with pytest.raises(DomainError):
            harness.place(user, side, quantity, code, client_order_id="mine")
    assert everything(harness) == before
    assert harness.sent == []
    assert harness.place(user, Side.BUY, 1, client_order_id="mine").client_order_id == "mine"


def test_a_client_order_id_is_used_once_by_each_user(harness: TradingHarness) -> None:
    """The second order with it is refused whatever it orders; another user may have the same, in this spelling or another."""
    user, other = harness.user(), harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 1, client_order_id="mine")
    with pytest.raises(ClientOrderIdTaken) as refused:
        harness.place(user, Side.BUY, 2, client_order_id="mine")
    assert refused.value.facts == {"client_order_id": "mine"}
    harness.place(user, Side.BUY, 1, client_order_id="MINE")
    harness.place(other, Side.BUY, 1, client_order_id="mine")
    harness.run_all()
    assert harness.breaches() == []


def test_accepting_costs_the_same_statements_however_rich_the_history(
    harness: TradingHarness,
) -> None:
    """The first order and the eleventh send as many statements."""
    user = harness.user()
    harness.tick(70_000)
    counts = []
    for _ in range(11):
        with statements_counted(harness.core.database.engine) as statements:
            harness.place(user, Side.BUY, 1)
        counts.append(len(statements))
        harness.run_all()
    assert len(set(counts)) == 1


def test_starting_cash_and_collar_are_settings(migrated_sqlite: str, valkey_url: str) -> None:
    """Another collar and commission reserve another sum."""
    changed = settings_for(
        migrated_sqlite, valkey_url, market_buy_collar_bp=0, commission_ppm=0, starting_cash=70_000
    )
    with opened(changed) as harness:
        user = harness.user()
        harness.tick(70_000)
        assert harness.place(user, Side.BUY, 1).reserved_cash == 70_000
        assert cash(harness, user) == (70_000, 70_000)
