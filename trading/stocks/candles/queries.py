"""Chart of a stock, from candles built from the tick stream."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.stocks.candles.model import Candle, CandleInterval, aggregate_candles
from trading.stocks.candles.tables import CANDLE_GAPS, CANDLES

COUNT_MAX = 200

_CANDLE_COLUMNS = tuple(CANDLES.c[field.name] for field in fields(Candle))


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleRecord:
    """Candle as returned to clients: prices and ``amount`` in won, ``volume`` in shares.

    ``starts_at`` is UTC; a day starts at midnight KST. ``has_gap`` means that trades in its span,
    of this or another stock, were lost.
    """

    starts_at: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int
    amount: int
    has_gap: bool


def list_candles(
    session: Session,
    *,
    stock_code: str,
    interval: CandleInterval,
    count: int,
    before: datetime | None = None,
) -> list[CandleRecord]:
    """Return up to ``count`` candles that start before ``before``, newest first.

    At most COUNT_MAX candles. Spans without trades have none. Runs two statements for any interval.
    """
    count = min(count, COUNT_MAX)
    statement = select(*_CANDLE_COLUMNS).where(
        CANDLES.c.stock_code == stock_code, CANDLES.c.candle_interval == interval.stored
    )
    if before is not None:
        start = interval.start(before)
        statement = statement.where(
            CANDLES.c.starts_at < (start if start == before else interval.end(start))
        )
    # The maximum number of parts per candle, so that the last candle is complete too.
    rows = session.execute(
        statement.order_by(CANDLES.c.starts_at.desc()).limit(count * interval.parts_max)
    ).mappings()
    stored = (Candle(**row) for row in rows)
    candles = list(islice(aggregate_candles(stored, interval), count))
    gaps = _gaps(session, candles, interval)
    return [_record(candle, interval, gaps) for candle in candles]


class _Gap(NamedTuple):
    starts_at: datetime
    ends_at: datetime


def _gaps(session: Session, candles: Sequence[Candle], interval: CandleInterval) -> Sequence[_Gap]:
    """Return the gaps in the time range of these candles."""
    if not candles:
        return ()
    rows = session.execute(
        select(CANDLE_GAPS.c.starts_at, CANDLE_GAPS.c.ends_at).where(
            CANDLE_GAPS.c.ends_at > candles[-1].starts_at,
            CANDLE_GAPS.c.starts_at < interval.end(candles[0].starts_at),
        )
    )
    return [_Gap(*row) for row in rows]


def _record(candle: Candle, interval: CandleInterval, gaps: Sequence[_Gap]) -> CandleRecord:
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
