"""How well an account did and at which risk, from its valuations by day: the figures of docs/formulas.md.

All are Decimals of 28 digits. A figure that the data does not carry is Unavailable with its reason, never a number made up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from trading.money import BASIS_POINTS
from trading.portfolio.returns import (
    Figure,
    Return,
    Unavailable,
    UnavailableReason,
    Valuation,
    annualised,
    chain_returns,
    money_weighted_return,
    returns_of,
    total_return,
)

# With fewer returns, a month of trading days, a standard deviation says next to nothing.
RETURNS_NEEDED = 20
# The field's usual count of an exchange's days; a market around the clock has DAYS_A_YEAR.
TRADING_DAYS_A_YEAR = 252

# What is smaller comes from rounding: a deviation of returns that are all equal, a fall below a peak that was reached again.
_ROUNDING = Decimal("1e-20")


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of linked returns below an earlier peak: ``depth`` is 0 or negative; ``recovery_day`` is None while the peak is not reached again."""

    depth: Decimal
    peak_day: date
    trough_day: date
    recovery_day: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The account beside an index over the same days, both from the close of ``since`` to the close of ``until``. ``excess_return`` is their difference."""

    since: date
    until: date
    returns: int
    account_return: Decimal
    index_return: Decimal
    beta: Figure

    @property
    def excess_return(self) -> Decimal:
        return self.account_return - self.index_return


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Every figure of a period. ``since`` is the day at whose close it begins."""

    since: date
    until: date
    returns: tuple[Return, ...]
    time_weighted_return: Decimal
    annualised_return: Figure
    money_weighted_return: Figure
    annualised_money_weighted_return: Figure
    volatility: Figure
    sharpe_ratio: Figure
    max_drawdown: Drawdown | None
    best: Return
    worst: Return
    comparison: Comparison | Unavailable

    @property
    def days(self) -> int:
        """Calendar days."""
        return (self.until - self.since).days


def performance(
    valuations: Sequence[Valuation],
    index_closes: Mapping[date, int],
    *,
    risk_free_rate_bp: int,
    days_a_year: int,
) -> Performance | Unavailable:
    """The figures of these valuations, oldest first, the first of which is what the period begins with.

    ``index_closes`` are by day, in any unit. ``days_a_year`` is how many daily returns a year has: 252 where the exchange's days are kept.
    """
    returns = returns_of(valuations)
    if not returns:
        return Unavailable(UnavailableReason.NO_RETURNS)
    values = [one.value for one in returns]
    since, until = returns[0].since, returns[-1].day
    days = (until - since).days
    total, weighted = (
        total_return(values),
        money_weighted_return(valuations, since=since, until=until),
    )
    return Performance(
        since=since,
        until=until,
        returns=returns,
        time_weighted_return=total,
        annualised_return=annualised(total, days=days),
        money_weighted_return=weighted,
        annualised_money_weighted_return=weighted
        if isinstance(weighted, Unavailable)
        else annualised(weighted, days=days),
        volatility=volatility(values, days_a_year=days_a_year),
        sharpe_ratio=sharpe_ratio(
            values, risk_free_rate_bp=risk_free_rate_bp, days_a_year=days_a_year
        ),
        max_drawdown=max_drawdown(returns),
        best=max(returns, key=lambda one: one.value),
        worst=min(returns, key=lambda one: one.value),
        comparison=compared(returns, index_closes),
    )


def volatility(values: Sequence[Decimal], *, days_a_year: int) -> Figure:
    """The sample standard deviation of daily returns, times the root of the days of a year."""
    if len(values) < RETURNS_NEEDED:
        return Unavailable(
            UnavailableReason.TOO_FEW_RETURNS, needed=RETURNS_NEEDED, have=len(values)
        )
    return _deviation(values) * Decimal(days_a_year).sqrt()


def sharpe_ratio(values: Sequence[Decimal], *, risk_free_rate_bp: int, days_a_year: int) -> Figure:
    """Mean daily return above the risk-free rate, divided by the standard deviation, times the root of the days of a year.

    The risk-free rate a day is that which comes to the given rate in a year.
    """
    if len(values) < RETURNS_NEEDED:
        return Unavailable(
            UnavailableReason.TOO_FEW_RETURNS, needed=RETURNS_NEEDED, have=len(values)
        )
    deviation = _deviation(values)
    if deviation < _ROUNDING:
        return Unavailable(UnavailableReason.NO_VARIATION)
    excess = _mean(values) - risk_free_rate_a_day(risk_free_rate_bp, days_a_year=days_a_year)
    return excess / deviation * Decimal(days_a_year).sqrt()


def risk_free_rate_a_day(rate_bp: int, *, days_a_year: int) -> Decimal:
    """What compounds to a yearly rate, in basis points, over the days of a year."""
    return (1 + Decimal(rate_bp) / BASIS_POINTS) ** (Decimal(1) / days_a_year) - 1


def max_drawdown(returns: Sequence[Return]) -> Drawdown | None:
    """The deepest fall below a peak, the beginning being one; of equally deep ones the first. None where the returns never fall."""
    growth = peak = recovered = Decimal(1)
    peak_day = returns[0].since
    deepest: Drawdown | None = None
    for one in returns:
        growth *= 1 + one.value
        if deepest is not None and deepest.recovery_day is None and growth >= recovered:
            deepest = replace(deepest, recovery_day=one.day)
        depth = growth / peak - 1
        if depth >= -_ROUNDING:
            peak, peak_day = max(growth, peak), one.day
        elif deepest is None or depth < deepest.depth:
            deepest, recovered = Drawdown(depth, peak_day, one.day, None), peak * (1 - _ROUNDING)
    return deepest


def compared(
    returns: Sequence[Return], index_closes: Mapping[date, int]
) -> Comparison | Unavailable:
    """The account beside an index over those days that have a close of the index; days without one are reached over, by both."""
    pairs = chain_returns(returns, index_closes)
    if not pairs:
        return Unavailable(
            UnavailableReason.INDEX_CLOSES_MISSING,
            needed=2,
            have=len({returns[0].since, *(one.day for one in returns)} & index_closes.keys()),
        )
    own = [one.value for one in pairs]
    index = [Decimal(index_closes[one.day]) / index_closes[one.since] - 1 for one in pairs]
    return Comparison(
        since=pairs[0].since,
        until=pairs[-1].day,
        returns=len(pairs),
        account_return=total_return(own),
        index_return=total_return(index),
        beta=beta(own, index),
    )


def beta(own: Sequence[Decimal], index: Sequence[Decimal]) -> Figure:
    """The covariance of the account's and the index's returns, divided by the variance of the index's."""
    if len(own) < RETURNS_NEEDED:
        return Unavailable(UnavailableReason.TOO_FEW_RETURNS, needed=RETURNS_NEEDED, have=len(own))
    if _deviation(index) < _ROUNDING:
        return Unavailable(UnavailableReason.NO_VARIATION)
    own_mean, index_mean = _mean(own), _mean(index)
    together = sum(
        ((a - own_mean) * (b - index_mean) for a, b in zip(own, index, strict=True)),
        start=Decimal(0),
    )
    return together / sum(((b - index_mean) ** 2 for b in index), start=Decimal(0))


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, start=Decimal(0)) / len(values)


def _deviation(values: Sequence[Decimal]) -> Decimal:
    mean = _mean(values)
    return (
        sum(((value - mean) ** 2 for value in values), start=Decimal(0)) / (len(values) - 1)
    ).sqrt()
