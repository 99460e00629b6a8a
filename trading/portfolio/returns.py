"""Returns of an account, adjusted for deposits and withdrawals.

Values and flows are whole won. Returns are Decimals: 0.01 is 1 %.

Timing of flows (GIPS only requires that it is documented and consistent): deposits and withdrawals
of the same day cancel out. What is left of a deposit counts from the beginning of its day, because
it can be traded with at once; what is left of a withdrawal counts until the end of its day, because
it could be traded with until then. So money that passes through the account on one day changes no
return, a return is never divided by money that was not in the account, and none is below −100 %.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from math import prod

# Calendar days, by the actual/365 convention.
DAYS_A_YEAR = 365

_ONE_DAY = timedelta(days=1)
_STEPS_MAX = 100
_TOLERANCE = Decimal("1e-12")


class UnavailableReason(StrEnum):
    """Why a figure is unavailable."""

    NO_RETURNS = "no-returns"
    TOO_FEW_RETURNS = "too-few-returns"
    PERIOD_TOO_SHORT = "period-too-short"
    NO_VARIATION = "no-variation"
    NO_SINGLE_SOLUTION = "no-single-solution"
    INDEX_CLOSES_MISSING = "index-closes-missing"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A figure that the data cannot support, with the reason.

    If more data would help, ``needed`` is the required amount and ``have`` the available one.
    """

    reason: UnavailableReason
    needed: int | None = None
    have: int | None = None


Figure = Decimal | Unavailable


@dataclass(frozen=True, slots=True)
class Valuation:
    """An account at the close of ``day``.

    ``worth`` is its value in won, None if a holding had no price. ``paid_in`` and ``paid_out`` are
    the day's deposits and withdrawals, both ≥ 0.
    """

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
    """Return a valuation of 0 before the first day, so that the starting cash is a flow."""
    return Valuation(first.day - _ONE_DAY, 0)


def net_flows(left: int, paid_in: int, paid_out: int, *, worth: int) -> tuple[int, int]:
    """Return deposits and withdrawals (won) of one day without what cancels out.

    ``left`` is the value of the account before, ``worth`` after the day. If nothing would remain of
    the capital or of the result, the flows were all there was, so they are returned unchanged.
    """
    cancelled = min(paid_in, paid_out)
    if left + paid_in - cancelled <= 0 or worth + paid_out - cancelled <= 0:
        return paid_in, paid_out
    return paid_in - cancelled, paid_out - cancelled


def daily_returns(valuations: Sequence[Valuation]) -> tuple[Return, ...]:
    """Return the returns between successive days of known value, oldest first.

    The first valuation is the starting point. A return spans days of unknown value and includes
    their flows, of which deposits and withdrawals cancel out as on one day. If the account was
    empty, the return begins with the day of the first payment. A day without capital (neither left
    from before nor paid in) has no return. An account in debt has a return of −100 %, not less.
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
        paid_in, paid_out = net_flows(left, paid_in, paid_out, worth=at.worth)
        if since is not None and left + paid_in > 0:
            begins = funded - _ONE_DAY if left <= 0 and funded is not None else since
            found.append(
                Return(begins, at.day, Decimal(max(at.worth + paid_out, 0)) / (left + paid_in) - 1)
            )
        since, funded, left, paid_in, paid_out = at.day, None, at.worth, 0, 0
    return tuple(found)


def total_return(values: Iterable[Decimal]) -> Decimal:
    """Chain returns into the time-weighted return of the whole period."""
    return prod((1 + value for value in values), start=Decimal(1)) - 1


def annualise(total: Decimal, *, days: int) -> Figure:
    """Annualise a return over ``days`` calendar days by actual/365.

    Unavailable for less than a year: GIPS forbids annualising shorter periods.
    """
    if days < DAYS_A_YEAR:
        return Unavailable(UnavailableReason.PERIOD_TOO_SHORT, needed=DAYS_A_YEAR, have=days)
    return (1 + total) ** (Decimal(DAYS_A_YEAR) / days) - 1


def chain_returns(returns: Iterable[Return], days: Container[date]) -> tuple[Return, ...]:
    """Chain returns into the returns between those of ``days`` that are ends of returns."""
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
    """Return the internal rate of return of the whole period, not annualised.

    It is the rate at which the money paid in would have grown, with the same growth every day, into
    the money paid out and the final value. The period is from the close of ``since`` to the close
    of ``until``; both days' values are known. NO_SINGLE_SOLUTION if no rate reaches the final value
    while the account is never in debt.
    """
    flows: list[tuple[int, int]] = []
    worth = left = 0
    for at in valuations:
        days = (at.day - since).days
        after = worth + at.paid_in - at.paid_out if at.worth is None else at.worth
        paid_in, paid_out = net_flows(worth, at.paid_in, at.paid_out, worth=after)
        if at.day == since:
            flows.append((0, at.worth or 0))
        elif since < at.day < until:
            flows += [(days - 1, paid_in), (days, -paid_out)]
        elif at.day == until:
            flows.append((days - 1, paid_in))
            left = max((at.worth or 0) + paid_out, 0)
        worth = after
    days = (until - since).days
    growth = _daily_growth(sorted(flow for flow in flows if flow[1]), days=days, left=Decimal(left))
    return Unavailable(UnavailableReason.NO_SINGLE_SOLUTION) if growth is None else growth**days - 1


def _daily_growth(flows: Sequence[tuple[int, int]], *, days: int, left: Decimal) -> Decimal | None:
    """Return the daily growth factor by which (day, won) flows reach ``left`` won, or None.

    If no flow takes out more than is there, the final value increases with the growth factor, so
    the solution is unique and bisection finds it.
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
    """Return the value of flows at a constant daily growth.

    The result is negative as soon as a flow takes out more than is there.
    """
    worth, day = Decimal(0), 0
    for at, amount in flows:
        worth, day = worth * growth ** (at - day) + amount, at
        if worth < 0:
            return worth
    return worth * growth ** (days - day)
