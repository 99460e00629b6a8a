"""The exchange's sessions: a dated timetable in Korea's time, and what each session does with orders and prints.

Not simulated are the trading at the closing price (08:30–08:40 and 15:40–16:00), the single-price session 16:00–18:00, which was abolished
on 2026-09-14, and Nextrade's own sessions beside KRX's: in the regular one a print of Nextrade's counts as any other.
Sources: Nextrade's opening on 2025-03-04 and KRX's after-market from 2026-09-14, as announced by both.
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


class Session(StrEnum):
    PRE_MARKET = "PRE_MARKET"
    OPENING_AUCTION = "OPENING_AUCTION"
    REGULAR = "REGULAR"
    CLOSING_AUCTION = "CLOSING_AUCTION"
    AFTER_MARKET = "AFTER_MARKET"
    ALWAYS_OPEN = "ALWAYS_OPEN"


@dataclass(frozen=True, slots=True)
class Span:
    """One session of one day, from ``opens_at`` up to and without ``closes_at``; both UTC."""

    session: Session
    opens_at: datetime
    closes_at: datetime


class Mark(NamedTuple):
    """A time of the timetable, and what of the day it moves with when the day is late."""

    at: time
    moves_with: Literal["opening", "close", "nothing"]


class Behaviour(NamedTuple):
    """What a session does.

    ``immediate_types``: the types of order that it executes at once, LIMIT being one that is IOC or FOK.
    ``prints_fill``: whether its prints fill orders of ours, and ``nextrade_fills`` whether those of Nextrade do, too.
    ``kinds``: what is traded in it at all.
    ``late_print``: whether its last print may come up to a minute after its end.
    ``ends_orders``: whether DAY orders end with it.
    """

    immediate_types: frozenset[OrderType] = frozenset()
    prints_fill: bool = False
    nextrade_fills: bool = False
    kinds: frozenset[StockKind] = frozenset({"STOCK", "ETF", "ETN"})
    late_print: bool = False
    ends_orders: bool = False


class Hours(NamedTuple):
    """One line of the timetable. A session that is not ``held_late`` is left out on a day that opens late."""

    session: Session
    opens: Mark
    closes: Mark
    behaviour: Behaviour
    held_late: bool = True


# An auction's end is delayed at random by up to 30 s, and its print takes its time to arrive.
LATE_PRINT = timedelta(seconds=60)

_ENTRY = Mark(time(8, 30), "opening")
_OPENING = Mark(time(9), "opening")
_LAST_CONTINUOUS = Mark(time(15, 20), "close")
_CLOSE = Mark(time(15, 30), "close")
# On a late day the evening session starts later and ends as usual. Nextrade did so on 2025-11-13 (16:40–20:00, and no pre-market), and KRX
# with its single-price session. That KRX's own after-market does the same is our assumption: no announcement of one is known.
_EVENING_END = Mark(time(20), "nothing")

# One-share prints at the price limit are common in the pre-market, so it fills nothing.
_NEXTRADE_PRE_MARKET = Hours(
    Session.PRE_MARKET,
    Mark(time(8), "opening"),
    Mark(time(8, 50), "opening"),
    Behaviour(),
    held_late=False,
)
_KRX_DAY = (
    Hours(Session.OPENING_AUCTION, _ENTRY, _OPENING, Behaviour()),
    Hours(
        Session.REGULAR,
        _OPENING,
        _LAST_CONTINUOUS,
        Behaviour(immediate_types=frozenset(OrderType), prints_fill=True, nextrade_fills=True),
    ),
    Hours(
        Session.CLOSING_AUCTION,
        _LAST_CONTINUOUS,
        _CLOSE,
        Behaviour(prints_fill=True, late_print=True, ends_orders=True),
    ),
)
_NEXTRADE_AFTER_MARKET = Hours(
    Session.AFTER_MARKET, Mark(time(15, 40), "close"), _EVENING_END, Behaviour()
)
_KRX_AFTER_MARKET = Hours(
    Session.AFTER_MARKET,
    Mark(time(16), "close"),
    _EVENING_END,
    Behaviour(
        immediate_types=frozenset({OrderType.LIMIT}),
        prints_fill=True,
        kinds=frozenset({"STOCK"}),
        ends_orders=True,
    ),
)

# (first day, its sessions in order), latest first.
_TIMETABLES: tuple[tuple[date, tuple[Hours, ...]], ...] = (
    (date(2026, 9, 14), (_NEXTRADE_PRE_MARKET, *_KRX_DAY, _KRX_AFTER_MARKET)),
    (date(2025, 3, 4), (_NEXTRADE_PRE_MARKET, *_KRX_DAY, _NEXTRADE_AFTER_MARKET)),
    (FIRST_KNOWN_DAY, _KRX_DAY),
)


def sessions_on(day: date, lateness: SessionShift) -> Iterator[tuple[Span, Behaviour]]:
    """The sessions of a trading day in order, each with what it does. ValueError for a day before the timetable begins or after 2100."""
    for hours in _timetable(day):
        span = Span(
            hours.session,
            _instant(day, hours.opens, lateness),
            _instant(day, hours.closes, lateness),
        )
        held = hours.held_late or not lateness.opening_minutes
        # So late that nothing is left of it.
        if held and span.opens_at < span.closes_at:
            yield span, hours.behaviour


def _timetable(day: date) -> tuple[Hours, ...]:
    for since, hours in _TIMETABLES:
        if since <= day <= LAST_KNOWN_DAY:
            return hours
    raise ValueError(f"No sessions are known for {day}.")


def _instant(day: date, mark: Mark, lateness: SessionShift) -> datetime:
    minutes = {
        "opening": lateness.opening_minutes,
        "close": lateness.closing_minutes,
        "nothing": 0,
    }[mark.moves_with]
    return datetime.combine(day, mark.at, KST).astimezone(UTC) + timedelta(minutes=minutes)
