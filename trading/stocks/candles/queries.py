"""A stock's chart, from the candles that were built from the tick stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.stocks.candles.model import Candle, CandleInterval, gathered
from trading.stocks.candles.tables import CANDLE_GAPS, CANDLES

COUNT_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleRecord:
    """The trades of one span: prices in won, ``volume`` shares and ``amount`` won of those that we saw. ``starts_at`` is UTC; a day's is midnight in
    Korea. ``has_gap`` tells that trades of its time were lost, of this stock or of others."""

    starts_at: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int
    amount: int
    has_gap: bool


def candles_of(
    session: Session,
    *,
    stock_code: str,
    interval: CandleInterval,
    count: int,
    before: datetime | None = None,
) -> list[CandleRecord]:
    """At most ``count`` (to COUNT_MAX) candles of a stock, the newest first, that begin before ``before``. Spans without a trade have none.

    Two statements at most, whatever the interval.
    """
    count = min(count, COUNT_MAX)
    wanted = select(CANDLES).where(
        CANDLES.c.stock_code == stock_code, CANDLES.c.candle_interval == interval.stored
    )
    if before is not None:
        start = interval.start(before)
        wanted = wanted.where(
            CANDLES.c.starts_at < (start if start == before else interval.end(start))
        )
    # As many parts as there may be of each candle: the last one asked for is whole, too.
    rows = session.execute(
        wanted.order_by(CANDLES.c.starts_at.desc()).limit(count * interval.parts_max)
    ).all()
    candles = list(islice(gathered(map(_candle, rows), interval), count))
    gaps = _gaps(session, candles, interval)
    return [_record(candle, interval, gaps) for candle in candles]


def _gaps(
    session: Session, candles: Sequence[Candle], interval: CandleInterval
) -> Sequence[AnyRow]:
    """The gaps of the time of these candles."""
    if not candles:
        return ()
    return session.execute(
        select(CANDLE_GAPS.c.starts_at, CANDLE_GAPS.c.ends_at).where(
            CANDLE_GAPS.c.ends_at > candles[-1].starts_at,
            CANDLE_GAPS.c.starts_at < interval.end(candles[0].starts_at),
        )
    ).all()


def _candle(row: AnyRow) -> Candle:
    return Candle(
        starts_at=row.starts_at,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
        amount=row.amount,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        position=row.position,
    )


def _record(candle: Candle, interval: CandleInterval, gaps: Sequence[AnyRow]) -> CandleRecord:
    ends_at = interval.end(candle.starts_at)
    return CandleRecord(
        starts_at=candle.starts_at,
        open=candle.open,
        high=candle.high,
        low=candle.low,
        close=candle.close,
        volume=candle.volume,
        amount=candle.amount,
        has_gap=any(gap.ends_at > candle.starts_at and gap.starts_at < ends_at for gap in gaps),
    )
