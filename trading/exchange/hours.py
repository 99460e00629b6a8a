"""Market hours and what they mean for an order.

Pure functions of an aware instant; results are in UTC. There are two markets: the exchange with its
calendar and timetable, and one that never closes, as the sandbox's play market.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol

from trading.exchange.calendar import CalendarDay, DayChange, TradingDays
from trading.exchange.order_types import OrderType
from trading.exchange.price_grid import StockKind
from trading.exchange.sessions import (
    LATE_PRINT,
    SessionBehaviour,
    SessionSpan,
    TradingSession,
    sessions_on,
)
from trading.exchange.time import KST, trade_date

__all__ = [
    "AlwaysOpen",
    "CalendarDay",
    "DayChange",
    "KrxHours",
    "MarketHours",
    "SessionSpan",
    "TradingPhase",
    "TradingSession",
]

_ONE_DAY = timedelta(days=1)
_SEARCH_DAYS = 366
_NEXTRADE = "NXT"
# Instants outside this range overflow when converted to Korean time; no trade is printed there.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class TradingPhase(NamedTuple):
    """A phase of trading that begins with a call auction.

    The first print of a stock in the phase is the auction's result: one price for all orders that
    took part. ``entry_ends_at`` is the end of the auction's order entry. With ``only_auction`` the
    auction is the whole phase; otherwise continuous trading follows its result.
    """

    started_at: datetime
    entry_ends_at: datetime
    only_auction: bool


class MarketHours(Protocol):
    """The hours of a market.

    Methods raise ValueError for an instant without an offset, if the result depends on it, and
    LookupError if there is no trading day within a year.
    """

    def is_trading_day(self, day: date) -> bool:
        """Return True if there is trading on this day in Korea."""

    def spans(self, day: date) -> tuple[SessionSpan, ...]:
        """Return the sessions of a day by start, none on a closed day. Two may overlap."""

    def span_at(self, at: datetime) -> SessionSpan | None:
        """Return the session at an instant; if two overlap, the later one, which is KRX's."""

    def accepts_at_once(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> bool:
        """Return True if a MARKET order, or an IOC or FOK LIMIT order, is accepted now.

        Call auctions accept MARKET orders only.
        """

    def filling_session(
        self, printed_at: datetime, *, exchange: str | None, kind: StockKind
    ) -> TradingSession | None:
        """Return the session in which a trade printed at that instant fills orders, None if it does
        not.
        """

    def phase_of(self, printed_at: datetime) -> TradingPhase | None:
        """Return the phase of trading that a print of that instant belongs to.

        None for a print outside the sessions that fill orders.
        """

    def next_opening(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> datetime:
        """Return the first instant from which such an immediate order is accepted; ``at`` if it is
        now.
        """

    def day_end_before(self, at: datetime) -> datetime:
        """Return the latest end of DAY orders up to ``at``, after the last print of its session."""

    def day_end_after(self, at: datetime) -> datetime:
        """Return when a DAY order accepted at ``at`` ends."""

    def trading_day(self, at: datetime) -> date:
        """Return the trading day whose prints can first fill an order accepted at ``at``."""

    def trading_ends(self, day: date) -> datetime | None:
        """Return when trading ends on a day in Korea, after the last print of its last session.

        None on a day without trading.
        """

    def facts(self, day: date) -> CalendarDay:
        """Return why a day is closed or late, for a calendar page."""


class _Window(NamedTuple):
    """A session of a day and the instant up to which its prints may arrive."""

    span: SessionSpan
    prints_until: datetime
    behaviour: SessionBehaviour


@dataclass(frozen=True, slots=True)
class _Day:
    """A calendar day in Korea, from midnight, with its sessions and the ends of DAY orders."""

    begins_at: datetime
    ends_at: datetime
    windows: tuple[_Window, ...]
    ends: tuple[datetime, ...]


class KrxHours:
    """The exchange's hours. Safe to share between threads.

    A DAY order accepted before the end of the closing auction ends with it. One accepted later,
    before the end of KRX's after-market, ends with that: orders do not carry over from one into the
    other. Any other ends with the closing auction of the next trading day. A print counts for the
    closing auction until one minute after its end, and only then have the DAY orders ended.
    """

    def __init__(self, changes: Mapping[date, DayChange]) -> None:
        self._days = TradingDays(changes)
        # A cache for each object, not on the method: a class-wide cache would keep every object
        # alive and mix up their corrections.
        self._day = lru_cache(maxsize=1_024)(self._make_day)
        self._last = _Day(_EARLIEST, _EARLIEST, (), ())

    def is_trading_day(self, day: date) -> bool:
        return self._days.is_trading_day(day)

    def spans(self, day: date) -> tuple[SessionSpan, ...]:
        return tuple(window.span for window in self._day(day).windows)

    def span_at(self, at: datetime) -> SessionSpan | None:
        window = self._window_at(at)
        return window.span if window else None

    def accepts_at_once(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> bool:
        window = self._window_at(at)
        return window is not None and _accepts(window.behaviour, order_type, kind)

    def filling_session(
        self, printed_at: datetime, *, exchange: str | None, kind: StockKind
    ) -> TradingSession | None:
        for span, prints_until, behaviour in self._day_at(printed_at).windows:
            if behaviour.prints_fill and span.opens_at <= printed_at < prints_until:
                held = kind in behaviour.kinds and (
                    behaviour.nextrade_fills or not is_nextrade(exchange)
                )
                return span.session if held else None
        return None

    def phase_of(self, printed_at: datetime) -> TradingPhase | None:
        for span, prints_until, behaviour in self._day_at(printed_at).windows:
            if behaviour.prints_fill and span.opens_at <= printed_at < prints_until:
                alone = behaviour.is_call_auction
                return TradingPhase(
                    started_at=span.opens_at,
                    entry_ends_at=span.closes_at if alone else span.opens_at,
                    only_auction=alone,
                )
        return None

    def next_opening(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> datetime:
        for day in self._from_day_of(at, _ONE_DAY):
            for span, _, behaviour in self._day(day).windows:
                if span.closes_at > at and _accepts(behaviour, order_type, kind):
                    return max(at.astimezone(UTC), span.opens_at)
        raise LookupError(f"No opening within a year after {at}.")

    def day_end_before(self, at: datetime) -> datetime:
        for day in self._from_day_of(at, -_ONE_DAY):
            for end in reversed(self._day(day).ends):
                if end + LATE_PRINT <= at:
                    return end
        raise LookupError(f"No trading day within a year before {at}.")

    def day_end_after(self, at: datetime) -> datetime:
        for day in self._from_day_of(at, _ONE_DAY):
            for end in self._day(day).ends:
                if end > at:
                    return end
        raise LookupError(f"No trading day within a year after {at}.")

    def trading_day(self, at: datetime) -> date:
        return trade_date(self.day_end_after(at))

    def trading_ends(self, day: date) -> datetime | None:
        ends = self._day(day).ends
        return ends[-1] + LATE_PRINT if ends else None

    def facts(self, day: date) -> CalendarDay:
        return self._days.facts(day)

    def _window_at(self, at: datetime) -> _Window | None:
        for window in reversed(self._day_at(at).windows):
            if window.span.opens_at <= at < window.span.closes_at:
                return window
        return None

    def _day_at(self, at: datetime) -> _Day:
        """Return the day of an instant. Most calls are about the same day, so that one is tried
        first.
        """
        if at.tzinfo is None:
            raise ValueError("An instant without an offset is no instant.")
        last = self._last
        if last.begins_at <= at < last.ends_at:
            return last
        if not _EARLIEST <= at < _LATEST:
            return _Day(at, at, (), ())
        self._last = last = self._day(trade_date(at))
        return last

    def _make_day(self, day: date) -> _Day:
        begins_at = _midnight(day)
        if not self._days.is_trading_day(day):
            return _Day(begins_at, begins_at + _ONE_DAY, (), ())
        windows = tuple(
            _Window(
                span,
                span.closes_at + (LATE_PRINT if behaviour.late_print else timedelta()),
                behaviour,
            )
            for span, behaviour in sessions_on(day, self._days.shift_of(day))
        )
        ends = tuple(window.span.closes_at for window in windows if window.behaviour.ends_orders)
        return _Day(begins_at, begins_at + _ONE_DAY, windows, ends)

    def _from_day_of(self, at: datetime, step: timedelta) -> Iterator[date]:
        """Yield the days from that of ``at`` on, for up to a year."""
        day = trade_date(at)
        return (day + n * step for n in range(_SEARCH_DAYS + 1))


class AlwaysOpen:
    """A market around the clock: one session a day, from midnight to midnight in Korea.

    DAY orders end with the session.
    """

    def is_trading_day(self, day: date) -> bool:  # noqa: ARG002 - every day is one
        return True

    def spans(self, day: date) -> tuple[SessionSpan, ...]:
        return (SessionSpan(TradingSession.ALWAYS_OPEN, _midnight(day), _midnight(day) + _ONE_DAY),)

    def span_at(self, at: datetime) -> SessionSpan | None:
        return self.spans(trade_date(at))[0]

    def accepts_at_once(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> bool:  # noqa: ARG002
        return True

    def filling_session(
        self,
        printed_at: datetime,  # noqa: ARG002 - it fills at any time
        *,
        exchange: str | None,  # noqa: ARG002
        kind: StockKind,  # noqa: ARG002
    ) -> TradingSession | None:
        return TradingSession.ALWAYS_OPEN

    def phase_of(self, printed_at: datetime) -> TradingPhase | None:
        opens_at = _midnight(trade_date(printed_at))
        return TradingPhase(opens_at, opens_at, only_auction=False)

    def next_opening(self, at: datetime, *, order_type: OrderType, kind: StockKind) -> datetime:  # noqa: ARG002
        trade_date(at)  # Raise ValueError for an instant without an offset, as KrxHours does.
        return at.astimezone(UTC)

    def day_end_before(self, at: datetime) -> datetime:
        return _midnight(trade_date(at))

    def day_end_after(self, at: datetime) -> datetime:
        return _midnight(trade_date(at)) + _ONE_DAY

    def trading_day(self, at: datetime) -> date:
        return trade_date(at)

    def trading_ends(self, day: date) -> datetime | None:
        return _midnight(day) + _ONE_DAY

    def facts(self, day: date) -> CalendarDay:  # noqa: ARG002 - no day differs from another
        return CalendarDay(reason=None, corrected=False, late_minutes=0)


def _accepts(behaviour: SessionBehaviour, order_type: OrderType, kind: StockKind) -> bool:
    return order_type in behaviour.immediate_types and kind in behaviour.kinds


def is_nextrade(exchange: str | None) -> bool:
    """Return True if a trade's exchange, as named by the feed, is Nextrade."""
    return exchange is not None and exchange.upper() == _NEXTRADE


def _midnight(day: date) -> datetime:
    """Return the instant at which a day begins in Korea."""
    return datetime.combine(day, time(), KST).astimezone(UTC)
