"""Fire price alerts: compare the trades since the last pass with the armed alerts.

A pass reads the tick stream from its own cursor, which moves in the transaction that fires, as a
matcher's cursor does (`trading.orders.match`). A fired alert is no longer armed, so reading the
same trades twice fires nothing twice.

A feed may report trades late or again. A trade fires an alert only if it was traded after the alert
was armed (`Tick.was_traded_after`), on the day on which it was received, and was not late then
(`Tick.is_late`).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, islice, takewhile
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import alert_event
from trading.db.statements import force_primary_key
from trading.db.upsert import upsert
from trading.exchange.time import trade_date
from trading.marketdata.stock_codes import product_code
from trading.marketdata.stream import StreamPart, TickStream
from trading.marketdata.ticks import Position, Tick
from trading.tasks import AffectedIds
from trading.unit_of_work import UnitOfWork
from trading.watchlists.alert_rules import Approach, approach_by_first_trade, is_met
from trading.watchlists.alerts import Alert, save_checked
from trading.watchlists.tables import (
    ALERT_CURSORS,
    PRICE_ALERTS,
    WATCHLIST_DIRECTORIES,
    WATCHLIST_ITEMS,
)

log = structlog.get_logger(__name__)


# Ticks per pass: some seconds of the busiest market. The rest is left for the next pass, which
# follows at once.
TICKS_MAX = 10_000
# A market crash may meet a hundred thousand alerts: they fire in transactions of some thousands.
FIRED_MAX = 5_000
# An alert is committed a moment after the market snapshot that gives its armed position. Trades of
# this span are read again, until every such transaction has ended.
READ_AGAIN = timedelta(seconds=2)

_IDS_PER_STATEMENT = 500
# The optimizer's work on the ranges grows faster than their number; with fewer, round trips
# dominate.
_STOCKS_PER_STATEMENT = 100


@dataclass(frozen=True, slots=True)
class AlertReport:
    """Result of one pass: ticks read (some of them read before) and alerts fired.

    `gap` is True if trades were lost before this pass, `more` if another pass should follow at
    once, `busy` if another process holds the cursor and this pass did nothing.
    """

    ticks: int = 0
    fired: int = 0
    gap: bool = False
    more: bool = False
    busy: bool = False
    affected: AffectedIds = field(default=AffectedIds(), compare=False)


class _Candidate(NamedTuple):
    """An armed alert that the trades may change, read without a lock. The id is in bytes."""

    item_id: bytes
    stock_code: str
    approach: str
    bound: int
    armed_position: int


def check_price_alerts(uow: UnitOfWork, stream: TickStream, *, freshness_ms: int) -> AlertReport:
    """Fire the armed alerts that trades after the cursor meet, each by the first such trade.

    `freshness_ms` is the freshness limit of trades. Raises MarketUnavailable before anything is
    changed.
    """
    session = uow.session
    packed = _lock_cursor(session)
    if packed is None:
        return AlertReport(busy=True)
    cursor = Position.unpack(packed) if packed else None
    part = stream.after(cursor, limit=TICKS_MAX)
    if part.gap:
        # Trades in the gap cannot be proven any more, so they fire nothing. If the price is still
        # beyond a bound, the next trade fires it.
        log.warning(
            "price_alert_gap",
            after=str(cursor),
            first=str(part.ticks[0].position if part.ticks else None),
        )
    timely = [tick for tick in part.ticks if _is_timely(tick, freshness_ms)]
    fired = _fire(uow, _by_stock(timely))
    is_full = len(fired) >= FIRED_MAX
    end = cursor if is_full else _next_cursor(part, cursor, now=uow.now)
    if end is not None and end.packed != packed:
        session.execute(update(ALERT_CURSORS).values(position=end.packed))
    return AlertReport(
        ticks=len(part.ticks),
        fired=len(fired),
        gap=part.gap,
        more=is_full or part.more,
        affected=AffectedIds(user_ids=tuple(dict.fromkeys(fired))),
    )


def _lock_cursor(session: Session) -> int | None:
    """Lock the cursor, creating it if missing; return its position, None if it is in use."""
    wanted = select(ALERT_CURSORS.c.position)
    position: int | None = session.scalar(wanted.with_for_update(skip_locked=True))
    if position is not None or session.scalar(wanted) is not None:
        return position
    # With an upsert, the later of two concurrent first passes uses the row that the other inserted.
    upsert(session, ALERT_CURSORS, [{"id": 1, "position": 0}], update=("id",))
    return int(session.execute(wanted.with_for_update()).scalar_one())


def _next_cursor(part: StreamPart, cursor: Position | None, *, now: datetime) -> Position | None:
    """Return where the next pass begins.

    It is the last position after which no alert with an earlier armed position can still appear.
    """
    if part.more or part.gap or not part.ticks:
        return part.end
    old = list(takewhile(lambda tick: tick.received_at <= now - READ_AGAIN, part.ticks))
    return part.end if len(old) == len(part.ticks) else old[-1].position if old else cursor


def _is_timely(tick: Tick, freshness_ms: int) -> bool:
    return not tick.is_late(freshness_ms) and trade_date(tick.traded_at) == trade_date(
        tick.received_at
    )


class _Trades:
    """One stock's trades of a pass, in stream order."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        self._ticks = ticks
        self._positions = [tick.position.packed for tick in ticks]
        self.low = min(tick.price for tick in ticks)
        self.high = max(tick.price for tick in ticks)
        # The highest price so far, and the negated lowest: both ascend, so bisection finds the
        # first trade beyond a bound.
        self._highs = list(accumulate((tick.price for tick in ticks), max))
        self._lows = list(accumulate((-tick.price for tick in ticks), max))

    def check(self, alert: Alert | _Candidate) -> tuple[Approach, Tick | None]:
        """Return an armed alert's approach, determined by these trades if UNKNOWN, and the first
        trade that meets the alert.

        A candidate has no time of arming, so the result for it may not hold for the alert.
        """
        approach, bound = Approach(alert.approach), alert.bound
        start = bisect_right(self._positions, alert.armed_position)
        armed_at = alert.armed_at if isinstance(alert, Alert) else None
        after = (
            tick
            for tick in islice(self._ticks, start, None)
            if armed_at is None or tick.was_traded_after(armed_at)
        )
        if approach is Approach.UNKNOWN and (first := next(after, None)) is not None:
            approach = approach_by_first_trade(bound, first.price, first.base)
        if start == 0:
            rising = approach is Approach.FROM_BELOW
            start = bisect_left(self._highs, bound) if rising else bisect_left(self._lows, -bound)
        met = (
            tick
            for tick in islice(self._ticks, start, None)
            if is_met(approach, bound, tick.price)
            and (armed_at is None or tick.was_traded_after(armed_at))
        )
        return approach, None if approach is Approach.UNKNOWN else next(met, None)


def _by_stock(ticks: Sequence[Tick]) -> dict[str, _Trades]:
    by_code: defaultdict[str, list[Tick]] = defaultdict(list)
    for tick in ticks:
        by_code[tick.code].append(tick)
    # Only product codes: codes become part of a statement's text below.
    return {code: _Trades(by_code[code]) for code in sorted(by_code) if product_code(code) == code}


def _fire(uow: UnitOfWork, trades: dict[str, _Trades]) -> list[UUID]:
    """Fire the alerts that these trades meet and save determined approaches.

    Stops soon after FIRED_MAX alerts. Returns the owner of each fired alert.
    """
    session = uow.session
    fired: list[UUID] = []
    changed = (
        alert for alert in _candidates(session, trades) if _changes(alert, trades[alert.stock_code])
    )
    while len(fired) < FIRED_MAX and (batch := list(islice(changed, _IDS_PER_STATEMENT))):
        item_ids = sorted({UUID(bytes=bytes(alert.item_id)) for alert in batch})
        checked = [
            after
            for alert in _lock(session, item_ids)
            if alert.stock_code in trades
            and (after := _checked(alert, trades[alert.stock_code], now=uow.now))
        ]
        owners = _owners(session, {alert.item_id for alert in checked})
        save_checked(session, checked)
        for alert in checked:
            if alert.fired_at is not None:
                uow.emit(alert_event(owners[alert.item_id], alert._asdict()))
                fired.append(owners[alert.item_id])
    return fired


def _candidates(session: Session, trades: dict[str, _Trades]) -> Iterator[_Candidate]:
    """Yield the armed alerts whose bound is within the range of prices, or of unknown approach."""
    connection = session.connection()
    hint = "" if connection.dialect.name == "sqlite" else "FORCE INDEX (ix_price_alerts_armed)"
    codes = list(trades)
    for start in range(0, len(codes), _STOCKS_PER_STATEMENT):
        reach = _within_reach(
            {code: trades[code] for code in codes[start : start + _STOCKS_PER_STATEMENT]}
        )
        rows = connection.exec_driver_sql(
            f"SELECT item_id, stock_code, approach, bound, armed_position"  # noqa: S608
            f" FROM price_alerts {hint} WHERE {reach}"
        )
        yield from (_Candidate(*row) for row in rows.all())


def _within_reach(trades: dict[str, _Trades]) -> str:
    # Codes and prices are part of the text: binding thousands of parameters costs more than running
    # the statement. It is safe, as they are product codes (see _by_stock) and integers.
    armed = {code: f"stock_code = '{code}' AND fired_at IS NULL" for code in trades}
    below = " OR ".join(
        f"{armed[code]} AND bound <= {of_stock.high:d}" for code, of_stock in trades.items()
    )
    above = " OR ".join(
        f"{armed[code]} AND bound >= {of_stock.low:d}" for code, of_stock in trades.items()
    )
    unknown = " OR ".join(armed.values())
    return (
        f"(approach = '{Approach.FROM_BELOW}' AND ({below})"
        f" OR approach = '{Approach.FROM_ABOVE}' AND ({above})"
        f" OR approach = '{Approach.UNKNOWN}' AND ({unknown}))"
    )


def _changes(alert: Alert | _Candidate, trades: _Trades) -> bool:
    approach, tick = trades.check(alert)
    return tick is not None or approach != alert.approach


def _lock(session: Session, item_ids: Sequence[UUID]) -> list[Alert]:
    """Lock the alerts of these items that are still armed, in the order of their keys."""
    wanted = select(PRICE_ALERTS).where(
        PRICE_ALERTS.c.item_id.in_(item_ids), PRICE_ALERTS.c.fired_at.is_(None)
    )
    ordered = wanted.order_by(PRICE_ALERTS.c.item_id, PRICE_ALERTS.c.kind)
    rows = session.execute(force_primary_key(ordered, PRICE_ALERTS).with_for_update())
    return [Alert.of(row) for row in rows]


def _checked(alert: Alert, trades: _Trades, *, now: datetime) -> Alert | None:
    """Return the alert after these trades; None if they change nothing."""
    approach, tick = trades.check(alert)
    if tick is None:
        return None if approach == alert.approach else alert._replace(approach=approach)
    return alert._replace(
        approach=approach,
        fired_at=now,
        tick_price=tick.price,
        tick_traded_at=tick.traded_at,
        tick_position=tick.position.packed,
    )


def _owners(session: Session, item_ids: set[UUID]) -> dict[UUID, UUID]:
    """Return the user of each item."""
    rows = session.execute(
        select(WATCHLIST_ITEMS.c.id, WATCHLIST_DIRECTORIES.c.user_id)
        .join(WATCHLIST_DIRECTORIES, WATCHLIST_DIRECTORIES.c.id == WATCHLIST_ITEMS.c.directory_id)
        .where(WATCHLIST_ITEMS.c.id.in_(sorted(item_ids)))
    )
    return {row.id: row.user_id for row in rows}
