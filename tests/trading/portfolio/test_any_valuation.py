"""Random account histories: the total is known at any time, and today's change adds up."""

from datetime import datetime, time
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from tests.support.properties import examples
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import deposit, withdraw
from trading.exchange.hours import AlwaysOpen
from trading.exchange.order_types import Side
from trading.exchange.time import KST, trade_date
from trading.portfolio.holding_rows import load_holdings
from trading.portfolio.holdings import SummaryRecord, load_cash, summarize_portfolio
from trading.redis import keys
from trading.stocks.candles.build import build_candles
from trading.stocks.candles.tables import CANDLES
from trading.stocks.valuation_prices import valuation_prices

STEP = st.tuples(
    st.sampled_from(
        ("tick", "buy", "sell", "sell all", "in", "out", "hours", "days", "expire", "candles")
    ),
    st.sampled_from((SAMSUNG, HYNIX)),
    st.integers(1, 9),
)


def summary(harness: TradingHarness, user: UUID) -> SummaryRecord:
    now = harness.clock()
    midnight = datetime.combine(trade_date(now), time(), KST)
    found = harness.core.snapshot(load_holdings, user, since=midnight)
    prices = valuation_prices(
        found.recorded,
        harness.core.quotes.last_ticks(found.codes),
        now=now,
        freshness_ms=harness.settings.tick_freshness_ms,
        hours=AlwaysOpen(),
    )
    return summarize_portfolio(harness.core.read(load_cash, user), found, prices)


def expire(harness: TradingHarness) -> None:
    for code in (SAMSUNG, HYNIX):
        harness.core.redis.delete(keys.last_tick(code))


def trade(harness: TradingHarness, user: UUID, side: Side, quantity: int, code: str) -> None:
    if harness.core.quotes.last_tick(code) is None:
        harness.tick(50_000, code)
    harness.tick(harness.core.quotes.last_ticks([code])[code].price, code)
    harness.place(user, side, quantity, code)
    harness.run_all()


def take(harness: TradingHarness, user: UUID, step: tuple[str, str, int]) -> None:
    kind, code, number = step
    held = {one.stock_code: one.sellable_quantity for one in summary(harness, user).holdings}
    match kind:
        case "tick":
            base = 50_000 if number % 2 else None
            harness.tick(50_000 + 1_000 * (number - 5), code, base=base)
        case "buy":
            trade(harness, user, Side.BUY, number, code)
        case "sell" | "sell all" if held.get(code):
            quantity = held[code] if kind == "sell all" else min(number, held[code])
            trade(harness, user, Side.SELL, quantity, code)
        case "in":
            deposit(harness, user, number * 1_000)
        case "out":
            withdraw(harness, user, number)
        case "hours" | "days":
            harness.clock.advance(**{kind: number})
        case "expire":
            expire(harness)
        case "candles":
            harness.core.run(build_candles, stream=harness.core.ticks)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=15))
def test_total_is_never_unknown(harness: TradingHarness, steps: list[tuple[str, str, int]]) -> None:
    """With or without ticks and candles; a day without trading changes nothing."""
    expire(harness)
    harness.do(lambda session: session.execute(delete(CANDLES)))
    user = harness.user()
    for step in steps:
        take(harness, user, step)
        found = summary(harness, user)
        assert found.unpriced_holdings == 0
        assert found.total_assets is not None
        assert found.todays_change is not None
        assert None not in {one.weight_bp for one in found.holdings}
        assert all(one.todays_change is not None for one in found.holdings)
        assert sum(one.value for one in found.sectors) == found.holdings_value

    before = summary(harness, user)
    harness.clock.advance(days=1)
    later = summary(harness, user)
    assert (later.todays_change, later.total_assets) == (0, before.total_assets)
    assert later.untraded_holdings == len(later.holdings)
