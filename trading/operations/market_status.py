"""Public market information: clock, calendar, and the rules in force on a day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import get_args

from trading.exchange.fees import TaxRates, tax_rates
from trading.exchange.hours import MarketHours, SessionSpan
from trading.exchange.order_types import OrderType
from trading.exchange.price_grid import (
    GRID_SINCE,
    LISTING_DAY_RULE_SINCE,
    LimitRules,
    Market,
    StockKind,
    limit_percent,
    limit_percents,
    tick_table,
)
from trading.exchange.time import KST

_KINDS: tuple[StockKind, ...] = get_args(StockKind)
# Multiples of leveraged and inverse funds; the sign does not matter for the limits.
_LEVERAGES = (2, 3)
# Funds are listed on KOSPI only.
_LISTED: dict[Market, tuple[StockKind, ...]] = {
    "KOSPI": _KINDS,
    "KOSDAQ": ("STOCK",),
    "KONEX": ("STOCK",),
}


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """A session with its times in KST."""

    session: str
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketClock:
    """The market at an instant, in KST.

    ``next_opening`` is when a market order will next be accepted; it equals ``now`` if it is
    accepted now.
    """

    now: datetime
    trading_day: date
    session: SessionTimes | None
    market_orders_accepted: bool
    next_opening: datetime
    day_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDayStatus:
    """A day of the calendar.

    ``reason`` says in Korean why the market is closed or late; ``corrected`` is True if an operator
    entered it.
    """

    date: date
    trading_day: bool
    reason: str | None
    corrected: bool
    late_minutes: int
    sessions: Sequence[SessionTimes]


@dataclass(frozen=True, slots=True)
class TickStep:
    """The tick size from a price on, both in won."""

    price_from: int
    tick: int


@dataclass(frozen=True, slots=True)
class TickTable:
    kind: str
    since: date
    steps: Sequence[TickStep]


@dataclass(frozen=True, slots=True)
class PriceLimit:
    market: str
    percent: int


class LimitRegime(StrEnum):
    """A kind of stock or day with price limits of its own."""

    LEVERAGED = "LEVERAGED"
    LISTING_DAY = "LISTING_DAY"
    LIQUIDATION = "LIQUIDATION"


@dataclass(frozen=True, slots=True)
class SpecialPriceLimit:
    """The limits of a regime in percent of the base price; None where there is no limit.

    ``leverage`` is the multiple of a leveraged or inverse fund.
    """

    regime: LimitRegime
    leverage: int | None
    lower_percent: int | None
    upper_percent: int | None


@dataclass(frozen=True, slots=True)
class SaleTax:
    """Taxes on the amount of a sale, in parts per million."""

    market: str
    kind: str
    transaction_ppm: int
    rural_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRules:
    """The rules in force on a day, without the price grids that begin later."""

    date: date
    tick_tables: Sequence[TickTable]
    price_limits: Sequence[PriceLimit]
    special_price_limits: Sequence[SpecialPriceLimit]
    commission_ppm: int
    sale_taxes: Sequence[SaleTax]
    trading_day: bool
    sessions: Sequence[SessionTimes]


def market_clock(hours: MarketHours, now: datetime) -> MarketClock:
    """Return the market's state for a market order on a stock."""
    span = hours.span_at(now)
    opening = hours.next_opening(now, order_type=OrderType.MARKET, kind="STOCK")
    return MarketClock(
        now=now.astimezone(KST),
        trading_day=hours.trading_day(now),
        session=_times(span) if span else None,
        market_orders_accepted=opening == now,
        next_opening=opening.astimezone(KST),
        day_end=hours.day_end_after(now).astimezone(KST),
    )


def market_calendar(hours: MarketHours, first: date, last: date) -> list[CalendarDayStatus]:
    """Return every day from ``first`` to ``last``, both included."""
    return [_calendar_day(hours, first + timedelta(days=n)) for n in range((last - first).days + 1)]


def market_rules(hours: MarketHours, day: date, *, commission_ppm: int) -> MarketRules:
    """Return the rules of a day. Raise ValueError before 2023, the first year known."""
    return MarketRules(
        date=day,
        tick_tables=[
            TickTable(kind, GRID_SINCE[kind], [TickStep(*step) for step in tick_table(kind)])
            for kind in _KINDS
            if GRID_SINCE[kind] <= day
        ],
        price_limits=[PriceLimit(market, limit_percent(market)) for market in _LISTED],
        special_price_limits=list(_special_price_limits(day)),
        commission_ppm=commission_ppm,
        sale_taxes=[
            _sale_tax(market, kind, tax_rates(market, kind, day))
            for market, kinds in _LISTED.items()
            for kind in kinds
        ],
        trading_day=hours.is_trading_day(day),
        sessions=[_times(span) for span in hours.spans(day)],
    )


def _special_price_limits(day: date) -> Iterator[SpecialPriceLimit]:
    for multiple in _LEVERAGES:
        rules = LimitRules(kind="ETF", leverage_percent=multiple * 100)
        yield SpecialPriceLimit(LimitRegime.LEVERAGED, multiple, *limit_percents(rules, day=day))
    if day >= LISTING_DAY_RULE_SINCE:
        percents = limit_percents(LimitRules(listed_on=day), day=day)
        yield SpecialPriceLimit(LimitRegime.LISTING_DAY, None, *percents)
    yield SpecialPriceLimit(LimitRegime.LIQUIDATION, None, None, None)


def _sale_tax(market: Market, kind: StockKind, rates: TaxRates) -> SaleTax:
    return SaleTax(market, kind, rates.transaction_ppm, rates.rural_ppm)


def _calendar_day(hours: MarketHours, day: date) -> CalendarDayStatus:
    facts = hours.facts(day)
    return CalendarDayStatus(
        date=day,
        trading_day=hours.is_trading_day(day),
        reason=facts.reason,
        corrected=facts.corrected,
        late_minutes=facts.late_minutes,
        sessions=[_times(span) for span in hours.spans(day)],
    )


def _times(span: SessionSpan) -> SessionTimes:
    return SessionTimes(span.session, span.opens_at.astimezone(KST), span.closes_at.astimezone(KST))
