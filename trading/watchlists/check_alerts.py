"""Firing price alerts: hold the trades since the last look against the armed alerts, and tell their owners.

A look reads the tick stream from a cursor of its own, which moves in the transaction that fires, as a matcher's does (trading.orders.match). An
alert that has fired is not armed any more, so reading the same trades again fires nothing twice.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_alert_event
from trading.db.statements import AnyRow, force_primary_key
from trading.db.upsert import upsert
from trading.marketdata.stock_codes import product_code
from trading.marketdata.stream import StreamPart, TickStream
from trading.marketdata.ticks import Position, Tick
from trading.tasks import AffectedIds
from trading.watchlists.alert_rules import Approach, approach_by_first_trade, is_met
from trading.watchlists.alerts import save_checked
from trading.watchlists.tables import (
    ALERT_CURSORS,
    PRICE_ALERTS,
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)

log = structlog.get_logger(__name__)


# Ticks of one look: some seconds of the busiest market. What is more is left for the next look, which follows at once.
TICKS_MAX = 10_000
# A crash of the market may meet a hundred thousand alerts: they are fired in transactions of some thousands.
FIRED_MAX = 5_000
# An alert is committed a moment after the look at the market that its place in the stream comes from. Trades of that moment are read again until any such
# transaction is over.
READ_AGAIN = timedelta(seconds=2)

_IDS_PER_STATEMENT = 500
# What a statement costs is the optimizer's work on its ranges, which grows faster than their number; with few of them round trips cost more.
_STOCKS_PER_STATEMENT = 100


@dataclass(frozen=True, slots=True)
class AlertReport:
    """What one look found: ticks read (some were read before), alerts fired; whether trades were lost before it; whether there is more to do at once.
    ``busy`` tells that another process was at it, and nothing was done here."""

    ticks: int = 0
    fired: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False
    worked_on: AffectedIds = field(default=AffectedIds(), compare=False)


def check_price_alerts(session: Session, *, stream: TickStream, now: datetime) -> AlertReport:
    """Fire the armed alerts that the trades behind the cursor meet, each by the first one that does. Raises MarketUnavailable, before anything is changed."""
    cursor = _lock_cursor(session)
    if cursor is None:
        return AlertReport(busy=True)
    place = Position.unpack(cursor.position) if cursor.position else None
    part = stream.after(place, limit=TICKS_MAX)
    if part.gap:
        # What was traded in it can't be proven any more, so it fires nothing. A price that is still beyond a bound fires it with the next trade.
        log.warning(
            "price_alert_gap",
            after=str(place),
            first=str(part.ticks[0].position if part.ticks else None),
        )
    fired = _fire(session, _by_stock(part.ticks), now=now)
    left = len(fired) >= FIRED_MAX
    end = place if left else _settled(part, place, now=now)
    if end is not None and end.packed != cursor.position:
        session.execute(update(ALERT_CURSORS).values(position=end.packed))
    return AlertReport(
        ticks=len(part.ticks),
        fired=len(fired),
        gap=part.gap,
        more=left or part.more,
        worked_on=AffectedIds(user_ids=tuple(dict.fromkeys(fired))),
    )


def _lock_cursor(session: Session) -> AnyRow | None:
    """The cursor, locked; made when there is none; None when another process holds it."""
    wanted = select(ALERT_CURSORS.c.position)
    cursor = session.execute(wanted.with_for_update(skip_locked=True)).one_or_none()
    if cursor is not None or session.execute(wanted).one_or_none() is not None:
        return cursor
    # Written so that of two first looks the second one finds the first one's cursor.
    upsert(session, ALERT_CURSORS, [{"id": 1, "position": 0}], update=("id",))
    return session.execute(wanted.with_for_update()).one()


def _settled(part: StreamPart, place: Position | None, *, now: datetime) -> Position | None:
    """Where the next look begins: the last place behind which alerts may yet appear that were armed before it."""
    if part.more or part.gap or not part.ticks:
        return part.end
    old = list(takewhile(lambda tick: tick.received_at <= now - READ_AGAIN, part.ticks))
    return part.end if len(old) == len(part.ticks) else old[-1].position if old else place


class _Trades:
    """One stock's trades of a look, in the order of the stream."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        self._ticks = ticks
        self._positions = [tick.position.packed for tick in ticks]
        self.low = min(tick.price for tick in ticks)
        self.high = max(tick.price for tick in ticks)
        # The highest price so far, and the lowest with its sign changed: both ascend, so the first trade beyond a bound is found by halving.
        self._highs, self._lows = (
            _ascending([t.price for t in ticks]),
            _ascending([-t.price for t in ticks]),
        )

    def look_at(self, alert: AnyRow) -> tuple[Approach, Tick | None]:
        """An armed alert's approach, by these trades where it was not known, and the first of them that meets it."""
        approach, bound = Approach(alert.approach), alert.bound
        start = bisect_right(self._positions, alert.armed_position)
        if approach is Approach.UNKNOWN and start < len(self._ticks):
            first = self._ticks[start]
            approach = approach_by_first_trade(bound, first.price, first.base)
        if start == 0:
            rising = approach is Approach.FROM_BELOW
            start = bisect_left(self._highs, bound) if rising else bisect_left(self._lows, -bound)
        return approach, next(
            (tick for tick in self._ticks[start:] if is_met(approach, bound, tick.price)), None
        )


def _ascending(values: Sequence[int]) -> list[int]:
    highest = values[0]
    return [highest := max(highest, value) for value in values]


def _by_stock(ticks: Sequence[Tick]) -> dict[str, _Trades]:
    found: defaultdict[str, list[Tick]] = defaultdict(list)
    for tick in ticks:
        found[tick.code].append(tick)
    # What is no product code is nobody's stock, and must not get into a statement's text.
    return {code: _Trades(found[code]) for code in sorted(found) if product_code(code) == code}


def _fire(session: Session, trades: dict[str, _Trades], *, now: datetime) -> list[UUID]:
    """Fire what these trades meet, at most some more than FIRED_MAX, and keep what they tell of approaches; the owner of each that fired."""
    fired: list[UUID] = []
    changed = (
        alert for alert in _candidates(session, trades) if _changed(alert, trades[alert.stock_code])
    )
    while len(fired) < FIRED_MAX and (some := list(islice(changed, _IDS_PER_STATEMENT))):
        checked = [
            row
            for alert in _lock(
                session, sorted({UUID(bytes=bytes(alert.item_id)) for alert in some})
            )
            if alert.stock_code in trades
            and (row := _checked(alert, trades[alert.stock_code], now=now))
        ]
        owners = _owners(session, {row["item_id"] for row in checked})
        save_checked(session, checked)
        for row in checked:
            if row["fired_at"] is not None:
                emit_alert_event(session, owners[row["item_id"]], row)
                fired.append(owners[row["item_id"]])
    return fired


def _candidates(session: Session, trades: dict[str, _Trades]) -> Iterator[AnyRow]:
    """The armed alerts whose bound lies within reach of their stock's prices, and those of unknown approach; nothing is locked, ids are bytes."""
    connection = session.connection()
    hint = "" if connection.dialect.name == "sqlite" else "FORCE INDEX (ix_price_alerts_armed)"
    codes = list(trades)
    for start in range(0, len(codes), _STOCKS_PER_STATEMENT):
        reach = _within_reach(
            {code: trades[code] for code in codes[start : start + _STOCKS_PER_STATEMENT]}
        )
        yield from connection.exec_driver_sql(
            f"SELECT item_id, stock_code, approach, bound, armed_position FROM price_alerts {hint} WHERE {reach}"  # noqa: S608
        ).all()


def _within_reach(trades: dict[str, _Trades]) -> str:
    # Codes and prices stand in the text itself, which goes to the driver as it is: thousands of parameters cost more to bind than the statement to run.
    # They are product codes, by _by_stock, and whole numbers.
    armed = {code: f"stock_code = '{code}' AND fired_at IS NULL" for code in trades}
    below = " OR ".join(
        f"{armed[code]} AND bound <= {of_stock.high:d}" for code, of_stock in trades.items()
    )
    above = " OR ".join(
        f"{armed[code]} AND bound >= {of_stock.low:d}" for code, of_stock in trades.items()
    )
    unknown = " OR ".join(armed.values())
    return (
        f"(approach = '{Approach.FROM_BELOW}' AND ({below}) OR approach = '{Approach.FROM_ABOVE}' AND ({above})"
        f" OR approach = '{Approach.UNKNOWN}' AND ({unknown}))"
    )


def _changed(alert: AnyRow, trades: _Trades) -> bool:
    approach, tick = trades.look_at(alert)
    return tick is not None or approach != alert.approach


def _lock(session: Session, item_ids: Sequence[UUID]) -> Sequence[AnyRow]:
    """The armed alerts of these items as they are now, locked in the order of their keys."""
    wanted = select(PRICE_ALERTS).where(
        PRICE_ALERTS.c.item_id.in_(item_ids), PRICE_ALERTS.c.fired_at.is_(None)
    )
    ordered = wanted.order_by(PRICE_ALERTS.c.item_id, PRICE_ALERTS.c.kind)
    return session.execute(force_primary_key(ordered, PRICE_ALERTS).with_for_update()).all()


def _checked(alert: AnyRow, trades: _Trades, *, now: datetime) -> dict[str, Any] | None:
    """An alert's row as these trades leave it; None where they change nothing."""
    approach, tick = trades.look_at(alert)
    if tick is None:
        return None if approach == alert.approach else {**alert._asdict(), "approach": approach}
    evidence = {
        "tick_price": tick.price,
        "tick_traded_at": tick.traded_at,
        "tick_position": tick.position.packed,
    }
    return {**alert._asdict(), "approach": approach, "fired_at": now, **evidence}


def _owners(session: Session, item_ids: set[UUID]) -> dict[UUID, UUID]:
    """Whose items these are."""
    rows = session.execute(
        select(WATCHLIST_ITEMS.c.id, WATCHLIST_DIRECTORIES.c.user_id)
        .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
        .where(WATCHLIST_ITEMS.c.id.in_(sorted(item_ids)))
    )
    return {row.id: row.user_id for row in rows}
