"""Totals of trades: wins, losses and their amounts.

A trade is what one sell order sold on one day in Korea. It is a win if its realized profit after
all costs is above zero, and a loss if it is below.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeTotals:
    """Fills and trades of a period. Amounts are won; ``gross_loss`` is positive.

    ``held_s`` is the sum of the holding times of ``held_trades`` trades in seconds.
    ``unapplied_executions`` are sales not yet applied to the holding: their profit is unknown and
    they are in no trade yet.
    """

    executions: int = 0
    bought_amount: int = 0
    sold_amount: int = 0
    commission: int = 0
    tax: int = 0
    unapplied_executions: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    gross_profit: int = 0
    gross_loss: int = 0
    largest_win: int = 0
    largest_loss: int = 0
    held_trades: int = 0
    held_s: int = 0

    def __add__(self, other: Self) -> Self:
        """Return the totals of both periods together."""
        together = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
        }
        for largest in ("largest_win", "largest_loss"):
            together[largest] = max(getattr(self, largest), getattr(other, largest))
        return type(self)(**together)

    @property
    def turnover(self) -> int:
        """Return bought plus sold amount."""
        return self.bought_amount + self.sold_amount

    @property
    def realized_profit(self) -> int:
        return self.gross_profit - self.gross_loss

    @property
    def win_rate(self) -> Decimal | None:
        """Return wins divided by trades (break-even trades included), or None without a trade."""
        return Decimal(self.wins) / self.trades if self.trades else None

    @property
    def average_win(self) -> int | None:
        """Return won, rounded down, or None without a win."""
        return self.gross_profit // self.wins if self.wins else None

    @property
    def average_loss(self) -> int | None:
        """Return positive won, rounded down, or None without a loss."""
        return self.gross_loss // self.losses if self.losses else None

    @property
    def profit_factor(self) -> Decimal | None:
        """Return gross profit divided by gross loss, or None without a loss."""
        return Decimal(self.gross_profit) / self.gross_loss if self.gross_loss else None

    @property
    def average_holding_s(self) -> int | None:
        """Return the mean holding time in seconds, rounded down, or None without a trade."""
        return self.held_s // self.held_trades if self.held_trades else None


class Span(StrEnum):
    """Length of the periods that statistics are grouped by."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A period with its first and last day.

    ``key`` identifies it and sorts by time: 2026-11-20, 2026-W47 (ISO 8601), 2026-11.
    """

    first_day: date
    last_day: date
    key: str


def bucket_containing(day: date, span: Span) -> Bucket:
    """Return the period that a day belongs to."""
    match span:
        case Span.DAY:
            return Bucket(day, day, day.isoformat())
        case Span.WEEK:
            year, week, weekday = day.isocalendar()
            monday = day - timedelta(days=weekday - 1)
            return Bucket(monday, monday + timedelta(days=6), f"{year}-W{week:02}")
        case Span.MONTH:
            first = day.replace(day=1)
            last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            return Bucket(first, last, f"{day:%Y-%m}")


def by_span(by_day: Mapping[date, TradeTotals], span: Span) -> dict[Bucket, TradeTotals]:
    """Sum days into periods, oldest first."""
    found: dict[Bucket, TradeTotals] = {}
    for day in sorted(by_day):
        bucket = bucket_containing(day, span)
        found[bucket] = found.get(bucket, TradeTotals()) + by_day[day]
    return found


def sum_totals(totals: Iterable[TradeTotals]) -> TradeTotals:
    """Return the sum of all totals."""
    return sum(totals, start=TradeTotals())
