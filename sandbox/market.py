"""Simulated market: prices walk at random on the tick grid within the price limits.

Pure: state and time in, trade out. The same seed and times give the same trades. It trades around
the clock; a day starts at midnight in Korea.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from random import Random

from sandbox.trade import DayTotals, Side, Trade
from trading.exchange.price_grid import PriceRange, ceil_to_grid, daily_price_range, tick_size
from trading.exchange.time import KST, trade_date
from trading.stocks.listing import ListedStock

# Maximum time without a trade of a stock, if the rate allows it.
QUIET_S_MAX = 2.5

_PRICE_WITHOUT_REFERENCE = 10_000
_TRADE_AMOUNT_MEAN = 10_000_000
_STAY_SHARE = 0.45
_HALF_TICK_SHARE = 0.03
# Strength of the pull towards the base price: at ±30 %, a step outwards has odds of 1 in 5.
_PULL = 1.0
# A market that starts during a day has traded before. The assumed past is busier than the simulated
# market, so the totals of a restarted sandbox are not below those before the restart.
_PAST_TRADES_PER_S = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StockState:
    """One stock's day so far. Prices are in won; `price` is on the grid, a print may be half a tick
    above.
    """

    stock: ListedStock
    day: date
    base: int
    price: int
    totals: DayTotals


def opening_state(stock: ListedStock, at: datetime) -> StockState:
    """Return a stock at its reference price after a plausible amount of trading for the hour."""
    price = up_to_grid(stock.reference_price or _PRICE_WITHOUT_REFERENCE, stock)
    volume = seconds_of_day(at) * _PAST_TRADES_PER_S * _mean_volume(price)
    totals = DayTotals(
        volume=volume, amount=volume * price, bought=volume // 2, sold=volume - volume // 2
    )
    return StockState(stock=stock, day=trade_date(at), base=price, price=price, totals=totals)


def next_trade(state: StockState, rng: Random, at: datetime) -> tuple[StockState, Trade]:
    """Return the next trade and state. The first trade of a new day sets a new base price."""
    if trade_date(at) != state.day:
        base = up_to_grid(state.price, state.stock)
        state = replace(state, day=trade_date(at), base=base, price=base, totals=DayTotals())
    price, side = _step(state, rng)
    printed = _half_tick_up(price, state) if rng.random() < _HALF_TICK_SHARE else price
    volume = 1 + int(rng.expovariate(1.0) * (_mean_volume(price) - 1))
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
    """Round a price up to the tick grid."""
    return ceil_to_grid(price, stock.kind)


def limits_of(stock: ListedStock, base: int, day: date) -> PriceRange:
    """Return the legal prices of a stock on a day, given its base price."""
    limits = daily_price_range(base, stock.limit_rules, day=day)
    if limits is None:
        raise ValueError("A stock with a base price has known limits.")
    return limits


def seconds_of_day(at: datetime) -> int:
    """Return the whole seconds since midnight in Korea."""
    local = at.astimezone(KST)
    return local.hour * 3600 + local.minute * 60 + local.second


def _mean_volume(price: int) -> int:
    return max(1, _TRADE_AMOUNT_MEAN // price)


def _step(state: StockState, rng: Random) -> tuple[int, Side]:
    """Return a step up, down or none, more often towards the base and within limits."""
    stock, price = state.stock, state.price
    if rng.random() < _STAY_SHARE:
        return price, rng.choice(("BUY", "SELL"))
    upwards = rng.random() < 0.5 - _PULL * (price - state.base) / state.base
    limits = limits_of(stock, state.base, state.day)
    # Below a grid boundary the tick size is smaller, so a step down is measured just below the
    # price.
    moved = (
        price + tick_size(price, stock.kind)
        if upwards
        else price - tick_size(price - 1, stock.kind)
    )
    return limits.clamp(moved), "BUY" if upwards else "SELL"


def _half_tick_up(price: int, state: StockState) -> int:
    """Return a mid-price print half a tick above `price`, rounded down as the exchange does."""
    stock = state.stock
    printed = price + tick_size(price, stock.kind) // 2
    return printed if limits_of(stock, state.base, state.day).contains(printed) else price


class Market:
    """Simulated market of several stocks. Active stocks trade more often, and none is quiet too
    long.
    """

    def __init__(self, stocks: Sequence[ListedStock], *, seed: int, at: datetime) -> None:
        self._rng = Random(seed)
        self._states = {stock.code: opening_state(stock, at) for stock in stocks}
        # The listing starts with the largest issues: the n-th trades 1/n as often as the first.
        self._weights = [1 / rank for rank in range(1, len(stocks) + 1)]
        self._codes = list(self._states)
        self._traded_at = dict.fromkeys(self._codes, at)

    def trade(self, at: datetime) -> Trade:
        """Return the next trade at `at`, of the stock whose turn it is."""
        code = self._turn(at)
        # Removed and appended, so that the dictionary is ordered by the last trade.
        del self._traded_at[code]
        self._traded_at[code] = at
        self._states[code], trade = next_trade(self._states[code], self._rng, at)
        return trade

    def _turn(self, at: datetime) -> str:
        longest_quiet = next(iter(self._traded_at))
        if (at - self._traded_at[longest_quiet]).total_seconds() >= QUIET_S_MAX:
            return longest_quiet
        return self._rng.choices(self._codes, self._weights)[0]
