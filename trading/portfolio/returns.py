"""Returns of an account with deposits and withdrawals taken out of them. Worth and flows are whole won, returns are Decimals: 0.01 is 1 %.

Timing, of which the GIPS standards only ask that it be stated and kept to: what comes in counts from the beginning of its day, as it can be traded with at
once; what goes out counts until the end of its day, as it was there to trade with. So no return is divided by money that was not there, and none is
below −100 %.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from math import prod

# Calendar days, which every year counts as by actual/365.
DAYS_A_YEAR = 365

_ONE_DAY = timedelta(days=1)
_STEPS_MAX = 100
_TOLERANCE = Decimal("1e-12")


class UnavailableReason(StrEnum):
    """Why a figure can't be given."""

    NO_RETURNS = "no-returns"
    TOO_FEW_RETURNS = "too-few-returns"
    PERIOD_TOO_SHORT = "period-too-short"
    NO_VARIATION = "no-variation"
    NO_SINGLE_SOLUTION = "no-single-solution"
    INDEX_CLOSES_MISSING = "index-closes-missing"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A figure that the data does not carry: why, and where more of it would help how much is ``needed`` and how much there is."""

    reason: UnavailableReason
    needed: int | None = None
    have: int | None = None


Figure = Decimal | Unavailable


@dataclass(frozen=True, slots=True)
class Valuation:
    """An account at the close of ``day``: its worth in won, None where a holding had no price, and what was paid in and out that day, both ≥ 0."""

    day: date
    worth: int | None
    paid_in: int = 0
    paid_out: int = 0


@dataclass(frozen=True, slots=True)
class Return:
    """The return from the close of ``since`` to the close of ``day``."""

    since: date
    day: date
    value: Decimal


def opening_valuation(first: Valuation) -> Valuation:
    """An account just before its first day: worth nothing yet, so that its starting cash is a flow like any other."""
    return Valuation(first.day - _ONE_DAY, 0)


def daily_returns(valuations: Sequence[Valuation]) -> tuple[Return, ...]:
    """The returns between successive days of known worth, oldest first; the first valuation is what they begin with.

    A return reaches over days of unknown worth, with their flows. One that begins with nothing begins with the day of the first payment. A day that has no
    capital, neither left from before nor paid in, has no return. An account in debt has lost no more than it had.
    """
    found = []
    since: date | None = None
    funded: date | None = None
    left = paid_in = paid_out = 0
    for at in valuations:
        paid_in, paid_out = paid_in + at.paid_in, paid_out + at.paid_out
        if at.paid_in and funded is None:
            funded = at.day
        if at.worth is None:
            continue
        if since is not None and left + paid_in > 0:
            begins = funded - _ONE_DAY if left <= 0 and funded is not None else since
            found.append(
                Return(begins, at.day, Decimal(max(at.worth + paid_out, 0)) / (left + paid_in) - 1)
            )
        since, funded, left, paid_in, paid_out = at.day, None, at.worth, 0, 0
    return tuple(found)


def total_return(values: Iterable[Decimal]) -> Decimal:
    """Returns linked into one: the time-weighted return of the whole."""
    return prod((1 + value for value in values), start=Decimal(1)) - 1


def annualise(total: Decimal, *, days: int) -> Figure:
    """What a total return over ``days`` calendar days is a year, by actual/365. Less than a year is never annualised, as by GIPS."""
    if days < DAYS_A_YEAR:
        return Unavailable(UnavailableReason.PERIOD_TOO_SHORT, needed=DAYS_A_YEAR, have=days)
    return (1 + total) ** (Decimal(DAYS_A_YEAR) / days) - 1


def chain_returns(returns: Iterable[Return], days: Container[date]) -> tuple[Return, ...]:
    """The returns between those of ``days`` that are ends of them, each linked from all that lie between."""
    found = []
    since: date | None = None
    before: date | None = None
    growth = Decimal(1)
    for one in returns:
        if since is None or one.since != before:
            since, growth = (one.since if one.since in days else None), Decimal(1)
        before, growth = one.day, growth * (1 + one.value)
        if one.day in days:
            if since is not None:
                found.append(Return(since, one.day, growth - 1))
            since, growth = one.day, Decimal(1)
    return tuple(found)


def money_weighted_return(valuations: Iterable[Valuation], *, since: date, until: date) -> Figure:
    """The return at which the money put in would have grown, day by day alike, into what was taken out and what is left: the internal rate of return.

    It is that of the whole period, from the close of ``since`` to that of ``until``, whose worth is known, and not annualised. NO_SINGLE_SOLUTION where
    there is no rate at which the account is never in debt and comes to what is left.
    """
    flows: list[tuple[int, int]] = []
    left = 0
    for at in valuations:
        days = (at.day - since).days
        if at.day == since:
            flows.append((0, at.worth or 0))
        elif since < at.day < until:
            flows += [(days - 1, at.paid_in), (days, -at.paid_out)]
        elif at.day == until:
            flows.append((days - 1, at.paid_in))
            left = max((at.worth or 0) + at.paid_out, 0)
    days = (until - since).days
    growth = _daily_growth(sorted(flow for flow in flows if flow[1]), days=days, left=Decimal(left))
    return Unavailable(UnavailableReason.NO_SINGLE_SOLUTION) if growth is None else growth**days - 1


def _daily_growth(flows: Sequence[tuple[int, int]], *, days: int, left: Decimal) -> Decimal | None:
    """The factor a day by which these (day, won) flows come to ``left`` won after ``days`` days; None without one.

    Where no flow takes out more than is there, more growth leaves more, so that the solution is the only one and halving finds it.
    """
    low, high = Decimal(0), Decimal(2)
    for _ in range(_STEPS_MAX):
        if _grown(flows, high, days=days) >= left:
            break
        low, high = high, high * 2
    for _ in range(_STEPS_MAX):
        middle = (low + high) / 2
        if _grown(flows, middle, days=days) < left:
            low = middle
        else:
            high = middle
    return (
        high
        if abs(_grown(flows, high, days=days) - left) <= max(left, Decimal(1)) * _TOLERANCE
        else None
    )


def _grown(flows: Sequence[tuple[int, int]], growth: Decimal, *, days: int) -> Decimal:
    """What flows come to, growing alike every day; negative once a flow takes out more than is there."""
    worth, day = Decimal(0), 0
    for at, amount in flows:
        worth, day = worth * growth ** (at - day) + amount, at
        if worth < 0:
            return worth
    return worth * growth ** (days - day)
