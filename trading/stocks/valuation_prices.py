"""The price at which shares are valued: the last known trade of a stock, live or recorded.

Every figure that values shares takes its price from ``valuation_prices``. The newest of these
counts: the last tick in Redis, which is kept for an hour, and the newest minute and daily candles
in the database. So a stock has a price as soon as it was traded once. Such a price never fills an
order; that takes a fresh tick.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, and_, select
from sqlalchemy.orm import Session

from trading.exchange.hours import MarketHours, TradingSession
from trading.exchange.time import KST, trade_date
from trading.marketdata.ticks import Tick
from trading.money import change_rate_bp
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.tables import CANDLES
from trading.stocks.tables import STOCKS

_MS = timedelta(milliseconds=1)
# The sessions after which a day's close is known. A market that never closes has none of them.
_BEFORE_CLOSE = frozenset({TradingSession.REGULAR, TradingSession.CLOSING_AUCTION})


class Freshness(StrEnum):
    """LIVE: a tick that may still fill an order; STALE: an older trade; CLOSE: a day's close."""

    LIVE = "LIVE"
    STALE = "STALE"
    CLOSE = "CLOSE"


@dataclass(frozen=True, slots=True)
class RecordedPrice:
    """A price (won) in the database and the time of its trade.

    ``is_daily`` is True for the close of a daily candle, so far or of the whole day.
    """

    price: int
    traded_at: datetime
    is_daily: bool

    @property
    def day(self) -> date:
        """Return the trading day in Korea."""
        return trade_date(self.traded_at)


@dataclass(frozen=True, slots=True)
class RecordedPrices:
    """The newest recorded price of a stock, and its last price (won) of a day before today.

    ``fallback`` is another trade of it, which counts if no other one of its day is known.
    ``closed_at`` is the time of a recorded close before today.
    """

    newest: RecordedPrice | None = None
    before_today: int | None = None
    fallback: RecordedPrice | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuationPrice:
    """The last known trade of a stock: price in won, time, and trading day in Korea.

    Today's change is measured from ``base_price``: the exchange's base price of today, else the
    last price before today, and None if neither is known. A stock that was not traded today has the
    price itself as its base price, so that its change is 0. ``tick`` is None for a recorded price.
    """

    stock_code: str
    price: int
    base_price: int | None
    day: date
    traded_at: datetime
    age_ms: int
    freshness: Freshness
    is_traded_today: bool
    tick: Tick | None

    @property
    def change_rate_bp(self) -> int | None:
        """Return the change from the base price in basis points of it."""
        return change_rate_bp(self.price, self.base_price) if self.base_price else None


def freshness_of_tick(age_ms: int, limit_ms: int) -> Freshness:
    """Return LIVE up to the age at which a tick may still fill an order, STALE beyond it."""
    return Freshness.LIVE if age_ms <= limit_ms else Freshness.STALE


def load_recorded_prices(
    session: Session, codes: Sequence[str], *, now: datetime
) -> dict[str, RecordedPrices]:
    """Load the recorded prices of stocks by product code, in one statement.

    Stocks without any are left out.
    """
    if not codes:
        return {}
    midnight = datetime.combine(trade_date(now), time(), KST)
    dated = (
        select(
            STOCKS.c.code,
            _newest_start(CandleInterval.DAY).label("day"),
            _newest_start(CandleInterval.DAY, CANDLES.c.starts_at < midnight).label("day_before"),
            _newest_start(CandleInterval.MINUTE).label("minute"),
        )
        .where(STOCKS.c.code.in_(sorted(set(codes))))
        .subquery("dated")
    )
    day, day_before, minute = (CANDLES.alias(name) for name in ("d", "b", "m"))
    found = {}
    for row in session.execute(
        select(
            dated.c.code,
            day.c.close.label("day_close"),
            day.c.closed_at.label("day_closed_at"),
            minute.c.close.label("minute_close"),
            minute.c.closed_at.label("minute_closed_at"),
            day_before.c.close.label("close_before"),
            day_before.c.closed_at.label("closed_before_at"),
        )
        .outerjoin(day, _is_candle(day, CandleInterval.DAY, dated.c.code, dated.c.day))
        .outerjoin(
            day_before, _is_candle(day_before, CandleInterval.DAY, dated.c.code, dated.c.day_before)
        )
        .outerjoin(minute, _is_candle(minute, CandleInterval.MINUTE, dated.c.code, dated.c.minute))
    ):
        candidates = []
        if row.minute_closed_at is not None:
            candidates.append(RecordedPrice(row.minute_close, row.minute_closed_at, is_daily=False))
        if row.day_closed_at is not None:
            candidates.append(RecordedPrice(row.day_close, row.day_closed_at, is_daily=True))
        if candidates:
            # If both are of the same trade, the daily close.
            newest = max(candidates, key=lambda one: (one.traded_at, one.is_daily))
            found[row.code] = RecordedPrices(
                newest, row.close_before, closed_at=row.closed_before_at
            )
    return found


def valuation_prices(
    recorded: Mapping[str, RecordedPrices],
    ticks: Mapping[str, Tick],
    *,
    now: datetime,
    freshness_ms: int,
    hours: MarketHours,
) -> dict[str, ValuationPrice]:
    """Return the price of each stock that has a tick or a recorded price, by product code.

    A recorded price replaces a tick only if it is of a later trade: the feed may report an old
    trade again.
    """
    prices = {}
    for code in {*recorded, *ticks}:
        price = _price(
            code,
            recorded.get(code, RecordedPrices()),
            ticks.get(code),
            now=now,
            freshness_ms=freshness_ms,
            hours=hours,
        )
        if price is not None:
            prices[code] = price
    return prices


def _price(
    code: str,
    recorded: RecordedPrices,
    tick: Tick | None,
    *,
    now: datetime,
    freshness_ms: int,
    hours: MarketHours,
) -> ValuationPrice | None:
    newest, fallback = recorded.newest, recorded.fallback
    last: Tick | RecordedPrice | None = tick
    if newest is not None and (last is None or last.traded_at < newest.traded_at):
        last = newest
    if fallback is not None and (last is None or trade_date(last.traded_at) < fallback.day):
        last = fallback
    if last is None:
        return None
    day, today = trade_date(last.traded_at), trade_date(now)
    if isinstance(last, Tick):
        age_ms = last.age_ms(now)
        freshness = freshness_of_tick(age_ms, freshness_ms)
    else:
        age_ms = max(0, (now - last.traded_at) // _MS)
        is_close = last.is_daily and _has_close(day, now, hours)
        freshness = Freshness.CLOSE if is_close else Freshness.STALE
    base_of_today = None if tick is None else tick.base_on(today)
    return ValuationPrice(
        stock_code=code,
        price=last.price,
        base_price=last.price if day != today else base_of_today or recorded.before_today,
        day=day,
        traded_at=last.traded_at,
        age_ms=age_ms,
        freshness=freshness,
        is_traded_today=day == today,
        tick=last if isinstance(last, Tick) else None,
    )


def _has_close(day: date, now: datetime, hours: MarketHours) -> bool:
    """Return True unless the regular session of a day, with its closing auction, is still on."""
    ends = [span.closes_at for span in hours.spans(day) if span.session in _BEFORE_CLOSE]
    return all(end <= now for end in ends)


def _is_candle(
    candle: FromClause,
    interval: CandleInterval,
    code: ColumnElement[str],
    starts_at: ColumnElement[datetime],
) -> ColumnElement[bool]:
    return and_(
        candle.c.stock_code == code,
        candle.c.candle_interval == interval,
        candle.c.starts_at == starts_at,
    )


def _newest_start(
    interval: CandleInterval, *conditions: ColumnElement[bool]
) -> ScalarSelect[datetime]:
    """Select the start of a stock's newest candle: one index lookup, unlike ``MAX``."""
    return (
        select(CANDLES.c.starts_at)
        .where(
            CANDLES.c.stock_code == STOCKS.c.code,
            CANDLES.c.candle_interval == interval,
            *conditions,
        )
        .order_by(CANDLES.c.starts_at.desc())
        .limit(1)
        .correlate(STOCKS)
        .scalar_subquery()
    )
