"""A play market: prices walk at random on the exchange's grid inside the day's limits. Pure: state and instant in, trade out.

The same seed and the same instants give the same trades. It trades around the clock; the day turns at midnight in Korea.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from random import Random

from sandbox.trade import DayTotals, Side, Trade
from trading.exchange.price_grid import ceil_to_grid, daily_price_range, tick_size
from trading.exchange.time import KST, trade_date
from trading.stocks.listing import ListedStock

# No stock is quiet for longer than this, if the rate allows it.
QUIET_S_MAX = 2.5

_PRICE_WITHOUT_REFERENCE = 10_000
_TRADE_AMOUNT_MEAN = 10_000_000
_STAY_SHARE = 0.45
_HALF_TICK_SHARE = 0.03
# How strongly a price is drawn back to the base: at the limit of ±30 % the odds of a step outwards are 1 in 5.
_PULL = 1.0
# A market that starts in the middle of a day has traded before. The assumed past is busier than the play market ever is, so that
# the totals of a restarted sandbox never fall behind those of the one before.
_PAST_TRADES_PER_S = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StockState:
    """One stock's day so far. Prices are won; ``price`` lies on the grid, a print may lie half a step above it."""

    stock: ListedStock
    day: date
    base: int
    price: int
    totals: DayTotals


def opening_state(stock: ListedStock, at: datetime) -> StockState:
    """A stock at ``at``, at its reference price, after as much trade as belongs to the hour."""
    price = up_to_grid(stock.reference_price or _PRICE_WITHOUT_REFERENCE, stock)
    volume = seconds_of_day(at) * _PAST_TRADES_PER_S * _mean_volume(price)
    totals = DayTotals(
        volume=volume, amount=volume * price, bought=volume // 2, sold=volume - volume // 2
    )
    return StockState(stock=stock, day=trade_date(at), base=price, price=price, totals=totals)


def next_trade(state: StockState, draw: Random, at: datetime) -> tuple[StockState, Trade]:
    """The next trade of a stock and the state that it leaves. The first trade of a new day starts from a new base."""
    if trade_date(at) != state.day:
        base = up_to_grid(state.price, state.stock)
        state = replace(state, day=trade_date(at), base=base, price=base, totals=DayTotals())
    price, side = _step(state, draw)
    printed = _half_tick_up(price, state) if draw.random() < _HALF_TICK_SHARE else price
    volume = 1 + int(draw.expovariate(1.0) * (_mean_volume(price) - 1))
    totals = state.totals.plus(printed, volume, side)
    trade = Trade(
        code=state.stock.code,
        traded_at=at,
        price=printed,
        base=state.base,
        volume=volume,
        side=side,
        totals=totals,
    )
    return replace(state, price=price, totals=totals), trade


def up_to_grid(price: int, stock: ListedStock) -> int:
    """A stock's price as a base price."""
    return ceil_to_grid(price, stock.kind)


def seconds_of_day(at: datetime) -> int:
    """Whole seconds since midnight in Korea."""
    local = at.astimezone(KST)
    return local.hour * 3600 + local.minute * 60 + local.second


def _mean_volume(price: int) -> int:
    return max(1, _TRADE_AMOUNT_MEAN // price)


def _step(state: StockState, draw: Random) -> tuple[int, Side]:
    """One step up, down or none, a little more often towards the base, never beyond the day's limits."""
    stock, price = state.stock, state.price
    if draw.random() < _STAY_SHARE:
        return price, draw.choice(("BUY", "SELL"))
    upwards = draw.random() < 0.5 - _PULL * (price - state.base) / state.base
    limits = daily_price_range(state.base, stock.kind, stock.market)
    # Below a boundary of the grid the steps are finer, so a step down is measured just below the price.
    moved = (
        price + tick_size(price, stock.kind)
        if upwards
        else price - tick_size(price - 1, stock.kind)
    )
    return min(max(moved, limits.lower), limits.upper), "BUY" if upwards else "SELL"


def _half_tick_up(price: int, state: StockState) -> int:
    """A mid-price print between ``price`` and the next step; fractions are dropped, as the exchange does."""
    stock = state.stock
    printed = price + tick_size(price, stock.kind) // 2
    return (
        printed
        if printed <= daily_price_range(state.base, stock.kind, stock.market).upper
        else price
    )


class Market:
    """All stocks of the play market and whose turn it is: busy stocks often, each one before it was quiet for too long."""

    def __init__(self, stocks: Sequence[ListedStock], *, seed: int, at: datetime) -> None:
        self._draw = Random(seed)
        self._states = {stock.code: opening_state(stock, at) for stock in stocks}
        # The listing begins with the largest issues: the n-th trades 1/n as often as the first.
        self._weights = [1 / rank for rank in range(1, len(stocks) + 1)]
        self._codes = list(self._states)
        self._traded_at = dict.fromkeys(self._codes, at)

    def trade(self, at: datetime) -> Trade:
        """The next trade at ``at``, of the stock whose turn it is."""
        code = self._turn(at)
        # Taken out and put back at the end: the dictionary's order is the order of the last trades.
        del self._traded_at[code]
        self._traded_at[code] = at
        self._states[code], trade = next_trade(self._states[code], self._draw, at)
        return trade

    def _turn(self, at: datetime) -> str:
        quietest = next(iter(self._traded_at))
        if (at - self._traded_at[quietest]).total_seconds() >= QUIET_S_MAX:
            return quietest
        return self._draw.choices(self._codes, self._weights)[0]
