"""Trades of the simulated market since its start, for the REST API."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice

from sandbox.trade import Trade
from trading.exchange.time import trade_date
from trading.stocks.candles.model import Candle, CandleInterval, aggregate_candles, new_candle
from trading.stocks.listing import ListedStock

TRADES_KEPT = 100
MINUTES_KEPT = 3 * 24 * 60
DAYS_KEPT = 400
# Index levels at the start of the simulated market, in points.
INDEX_LEVELS = {"KOSPI": 4_000.0, "KOSDAQ": 900.0}


class StockLog:
    """One stock's last trades, and its minute and day candles, all newest first."""

    def __init__(self) -> None:
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self._candles: dict[CandleInterval, deque[Candle]] = {
            CandleInterval.MINUTE: deque(maxlen=MINUTES_KEPT),
            CandleInterval.DAY: deque(maxlen=DAYS_KEPT),
        }

    @property
    def last(self) -> Trade:
        return self.trades[0]

    @property
    def day(self) -> Candle:
        """The candle of the last trade's day."""
        return self._candles[CandleInterval.DAY][0]

    def add(self, trade: Trade) -> None:
        self.trades.appendleft(trade)
        price, volume, traded_at = trade.price, trade.volume, trade.traded_at
        for interval, candles in self._candles.items():
            starts_at = interval.start(traded_at)
            if candles and candles[0].starts_at >= starts_at:
                candles[0].add(price=price, volume=volume, traded_at=traded_at, position=0)
            else:
                candles.appendleft(
                    new_candle(
                        starts_at, price=price, volume=volume, traded_at=traded_at, position=0
                    )
                )

    def candles(self, interval: CandleInterval, *, before: datetime | None) -> Iterator[Candle]:
        """Yield candles that start before an instant, newest first."""
        for candle in aggregate_candles(self._candles[interval.stored], interval):
            if before is None or candle.starts_at < before:
                yield candle


class IndexLog:
    """An index of the simulated market: prices weighted by listed shares, in points.

    A day's base is the close of the day before.
    """

    def __init__(self, level: float, shares: dict[str, int]) -> None:
        self._shares = shares
        self._bases: dict[str, int] = {}
        self._prices: dict[str, int] = {}
        self.day: date | None = None
        self.traded_at: datetime | None = None
        self.base = self.open = self.high = self.low = self.close = level
        self.volume = self.amount = 0

    def add(self, trade: Trade) -> None:
        """Count a trade of a member stock. Ignore trades of an earlier day, as in a replay."""
        day = trade_date(trade.traded_at)
        if self.day is not None and day < self.day:
            return
        if day != self.day:
            self.day, self._bases = day, dict(self._prices)
            self.base = self.open = self.high = self.low = self.close
            self.volume = self.amount = 0
        self._bases.setdefault(trade.code, trade.base)
        self._prices[trade.code] = trade.price
        self.traded_at = trade.traded_at
        self.volume += trade.volume
        self.amount += trade.volume * trade.price
        market_value = {
            name: sum(
                prices.get(code, base) * self._shares[code] for code, base in self._bases.items()
            )
            for name, prices in (("now", self._prices), ("base", self._bases))
        }
        self.close = round(self.base * market_value["now"] / market_value["base"], 2)
        self.high, self.low = max(self.high, self.close), min(self.low, self.close)


class TradeLog:
    """All stocks and indices of the simulated market."""

    def __init__(self, stocks: Iterable[ListedStock]) -> None:
        self.listed = {stock.code: stock for stock in stocks}
        self.indices = {
            name: IndexLog(
                level,
                {
                    stock.code: stock.listed_shares or 1
                    for stock in self.listed.values()
                    if stock.market == name
                },
            )
            for name, level in INDEX_LEVELS.items()
        }
        self._stocks: dict[str, StockLog] = {}

    def add(self, trade: Trade) -> None:
        log = self._stocks.get(trade.code)
        if log is None or trade.traded_at < log.last.traded_at - timedelta(minutes=1):
            # The first trade, or the first of a restarted replay: the earlier log is in its future.
            log = self._stocks[trade.code] = StockLog()
        log.add(trade)
        stock = self.listed.get(trade.code)
        if stock is not None and stock.market in self.indices and stock.kind == "STOCK":
            self.indices[stock.market].add(trade)

    def stock(self, code: str) -> StockLog | None:
        """Return the log of a stock; None before its first trade."""
        return self._stocks.get(code)

    def most_traded(self, limit: int) -> list[str]:
        """Return the codes with the largest amounts of their day, largest first."""
        by_amount = sorted(self._stocks.items(), key=lambda item: -item[1].last.totals.amount)
        return [code for code, _ in islice(by_amount, limit)]
