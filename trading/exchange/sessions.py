"""The exchange's sessions: a dated timetable in Korean time, and what each session allows.

Not simulated: trading at the closing price (08:30–08:40 and 15:40–16:00), the single-price session
16:00–18:00, which was abolished on 2026-09-14, and Nextrade's own sessions beside KRX's. In the
regular session a print of Nextrade counts as any other. Sources: Nextrade's opening on 2025-03-04
and KRX's after-market from 2026-09-14, as announced by both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from trading.exchange.calendar import FIRST_KNOWN_DAY, LAST_KNOWN_DAY, SessionShift
from trading.exchange.order_types import OrderType
from trading.exchange.price_grid import StockKind
from trading.exchange.time import KST


class TradingSession(StrEnum):
    PRE_MARKET = "PRE_MARKET"
    OPENING_AUCTION = "OPENING_AUCTION"
    REGULAR = "REGULAR"
    CLOSING_AUCTION = "CLOSING_AUCTION"
    AFTER_MARKET = "AFTER_MARKET"
    ALWAYS_OPEN = "ALWAYS_OPEN"


@dataclass(frozen=True, slots=True)
class SessionSpan:
    """One session of one day, from ``opens_at`` to before ``closes_at`` (UTC)."""

    session: TradingSession
    opens_at: datetime
    closes_at: datetime


class TimetableMark(NamedTuple):
    """A time of the timetable, and whether it moves with the opening or the close of a late day."""

    at: time
    moves_with: Literal["opening", "close", "nothing"]


class SessionBehaviour(NamedTuple):
    """What a session does with orders and prints.

    - ``immediate_types``: order types that it accepts for execution within the session; MARKET, and
      LIMIT for the IOC and FOK orders.
    - ``prints_fill``: True if its prints fill orders; ``nextrade_fills``: those of Nextrade too.
    - ``is_call_auction``: True if its one result has one price for all orders.
    - ``kinds``: the kinds of stock traded in it.
    - ``late_print``: True if its last print may come up to a minute after its end.
    - ``ends_orders``: True if DAY orders end with it.
    """

    immediate_types: frozenset[OrderType] = frozenset()
    prints_fill: bool = False
    nextrade_fills: bool = False
    kinds: frozenset[StockKind] = frozenset({"STOCK", "ETF", "ETN"})
    is_call_auction: bool = False
    late_print: bool = False
    ends_orders: bool = False


class SessionHours(NamedTuple):
    """One line of the timetable; without ``held_late`` it is left out on a day that opens late."""

    session: TradingSession
    opens: TimetableMark
    closes: TimetableMark
    behaviour: SessionBehaviour
    held_late: bool = True


# The end of an auction is delayed at random by up to 30 s, and its print arrives some time later.
LATE_PRINT = timedelta(seconds=60)

_ENTRY = TimetableMark(time(8, 30), "opening")
_OPENING = TimetableMark(time(9), "opening")
_LAST_CONTINUOUS = TimetableMark(time(15, 20), "close")
_CLOSE = TimetableMark(time(15, 30), "close")
# On a late day the evening session starts later and ends as usual. Nextrade did so on 2025-11-13
# (16:40–20:00, without a pre-market), and KRX with its single-price session. It is an assumption
# that KRX's own after-market does the same: no announcement of one is known.
_EVENING_END = TimetableMark(time(20), "nothing")

# The pre-market fills nothing, because one-share prints at the price limit are common in it.
_NEXTRADE_PRE_MARKET = SessionHours(
    TradingSession.PRE_MARKET,
    TimetableMark(time(8), "opening"),
    TimetableMark(time(8, 50), "opening"),
    SessionBehaviour(),
    held_late=False,
)
_KRX_DAY = (
    SessionHours(
        TradingSession.OPENING_AUCTION,
        _ENTRY,
        _OPENING,
        # Its result is the first print of the regular session.
        SessionBehaviour(immediate_types=frozenset({OrderType.MARKET})),
    ),
    SessionHours(
        TradingSession.REGULAR,
        _OPENING,
        _LAST_CONTINUOUS,
        SessionBehaviour(
            immediate_types=frozenset(OrderType), prints_fill=True, nextrade_fills=True
        ),
    ),
    SessionHours(
        TradingSession.CLOSING_AUCTION,
        _LAST_CONTINUOUS,
        _CLOSE,
        SessionBehaviour(
            immediate_types=frozenset({OrderType.MARKET}),
            prints_fill=True,
            is_call_auction=True,
            late_print=True,
            ends_orders=True,
        ),
    ),
)
_NEXTRADE_AFTER_MARKET = SessionHours(
    TradingSession.AFTER_MARKET,
    TimetableMark(time(15, 40), "close"),
    _EVENING_END,
    SessionBehaviour(),
)
_KRX_AFTER_MARKET = SessionHours(
    TradingSession.AFTER_MARKET,
    TimetableMark(time(16), "close"),
    _EVENING_END,
    SessionBehaviour(
        immediate_types=frozenset({OrderType.LIMIT}),
        prints_fill=True,
        kinds=frozenset({"STOCK"}),
        ends_orders=True,
    ),
)

# (first day, its sessions in order), latest first.
_TIMETABLES: tuple[tuple[date, tuple[SessionHours, ...]], ...] = (
    (date(2026, 9, 14), (_NEXTRADE_PRE_MARKET, *_KRX_DAY, _KRX_AFTER_MARKET)),
    (date(2025, 3, 4), (_NEXTRADE_PRE_MARKET, *_KRX_DAY, _NEXTRADE_AFTER_MARKET)),
    (FIRST_KNOWN_DAY, _KRX_DAY),
)


def sessions_on(day: date, shift: SessionShift) -> Iterator[tuple[SessionSpan, SessionBehaviour]]:
    """Yield the sessions of a trading day in order, each with its behaviour.

    Raise ValueError for a day before the timetable begins or after 2100.
    """
    for hours in _timetable(day):
        span = SessionSpan(
            hours.session,
            _instant(day, hours.opens, shift),
            _instant(day, hours.closes, shift),
        )
        held = hours.held_late or not shift.opening_minutes
        # On a very late day nothing may be left of a session.
        if held and span.opens_at < span.closes_at:
            yield span, hours.behaviour


def _timetable(day: date) -> tuple[SessionHours, ...]:
    for since, hours in _TIMETABLES:
        if since <= day <= LAST_KNOWN_DAY:
            return hours
    raise ValueError(f"No sessions are known for {day}.")


def _instant(day: date, mark: TimetableMark, shift: SessionShift) -> datetime:
    minutes = {
        "opening": shift.opening_minutes,
        "close": shift.closing_minutes,
        "nothing": 0,
    }[mark.moves_with]
    return datetime.combine(day, mark.at, KST).astimezone(UTC) + timedelta(minutes=minutes)
