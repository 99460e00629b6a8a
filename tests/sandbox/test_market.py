"""The simulated market obeys the exchange's rules."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sandbox.market import QUIET_S_MAX, Market, StockState, limits_of, next_trade, opening_state
from sandbox.trade import DayTotals
from trading.exchange.price_grid import tick_size
from trading.stocks.listing import ListedStock, seed_listing

STOCKS = seed_listing()
NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@given(stock=st.sampled_from(STOCKS), share=st.integers(-30, 30), seed=st.integers(0, 2**32))
def test_every_price_is_possible_at_the_exchange(stock: ListedStock, share: int, seed: int) -> None:
    """From any price: inside the limits, on the grid or half a tick above it."""
    state = opening_state(stock, NOON)
    limits = limits_of(stock, state.base, state.day)
    wished = state.base * (100 + share) // 100
    start = limits.clamp(wished - wished % tick_size(wished, stock.kind))
    state = StockState(stock=stock, day=state.day, base=state.base, price=start, totals=DayTotals())
    draw = Random(seed)

    for _ in range(50):
        before = state.totals
        state, trade = next_trade(state, draw, NOON)
        step = tick_size(trade.price, stock.kind)
        assert limits.contains(trade.price)
        assert state.price % tick_size(state.price, stock.kind) == 0
        assert trade.price % step in (0, step // 2)
        assert trade.volume > 0
        assert trade.totals == before.plus(trade.price, trade.volume, trade.side)


def test_some_prints_are_between_ticks_and_both_sides_trade() -> None:
    market = Market(STOCKS, seed=1, at=NOON)

    trades = [market.trade(NOON) for _ in range(3_000)]

    assert {trade.side for trade in trades} == {"BUY", "SELL"}
    assert any(trade.price % tick_size(trade.price) for trade in trades if trade.price >= 2_000)


def test_same_seed_gives_the_same_market() -> None:
    def tape(seed: int) -> list[bytes]:
        market = Market(STOCKS, seed=seed, at=NOON)
        return [market.trade(NOON + timedelta(milliseconds=10 * n)).body() for n in range(500)]

    assert tape(7) == tape(7) != tape(8)


def test_no_stock_is_quiet_for_three_seconds() -> None:
    """At the default rate of 60 trades per second; the largest stock trades most."""
    market = Market(STOCKS, seed=1, at=NOON)
    last = {stock.code: NOON for stock in STOCKS}
    counts: Counter[str] = Counter()
    longest = timedelta()

    for number in range(60 * 60):
        at = NOON + timedelta(seconds=number / 60)
        trade = market.trade(at)
        longest = max(longest, at - last[trade.code])
        last[trade.code] = at
        counts[trade.code] += 1

    assert set(counts) == set(last)
    assert timedelta(seconds=QUIET_S_MAX) <= longest < timedelta(seconds=4)
    assert counts.most_common(1)[0][0] == STOCKS[0].code


def test_day_changes_at_midnight_in_korea() -> None:
    """The last price becomes the base price, and the totals start at zero."""
    state = opening_state(STOCKS[0], NOON)
    draw = Random(1)
    for _ in range(100):
        state, _ = next_trade(state, draw, MIDNIGHT - timedelta(seconds=1))

    turned, trade = next_trade(state, draw, MIDNIGHT)

    assert trade.base == state.price
    assert turned.day > state.day
    assert trade.totals.volume == trade.volume


def test_restarted_market_has_no_lower_totals() -> None:
    """The relayer would discard its trades as old."""
    first = Market(STOCKS, seed=1, at=NOON)
    later = NOON + timedelta(minutes=1)
    totals = {trade.code: trade.totals for trade in (first.trade(NOON) for _ in range(3_600))}

    assert all(
        opening_state(stock, later).totals.volume > totals[stock.code].volume for stock in STOCKS
    )
