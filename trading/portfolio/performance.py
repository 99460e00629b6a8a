"""Return and risk figures of an account from its daily valuations, as defined in docs/formulas.md.

All figures are Decimals of 28 digits. A figure that the data cannot support is Unavailable with its
reason.
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
    annualise,
    chain_returns,
    daily_returns,
    money_weighted_return,
    total_return,
)

# About a month of trading days. With fewer returns a standard deviation is not meaningful.
RETURNS_NEEDED = 20
# The usual number of trading days of an exchange. A market that never closes has DAYS_A_YEAR.
TRADING_DAYS_A_YEAR = 252

# Smaller values are rounding errors: the deviation of equal returns, or the drawdown at a peak that
# was reached again.
_ROUNDING = Decimal("1e-20")


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of the chained returns below an earlier peak.

    ``depth`` is 0 or negative. ``recovery_day`` is None until the peak is reached again.
    """

    depth: Decimal
    peak_day: date
    trough_day: date
    recovery_day: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The account compared with an index over the same days.

    Both are measured from the close of ``since`` to the close of ``until``. ``excess_return`` is
    the account's return less the index's.
    """

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
    """All figures of a period, which begins at the close of the day ``since``."""

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
        """Return the number of calendar days."""
        return (self.until - self.since).days


def performance(
    valuations: Sequence[Valuation],
    index_closes: Mapping[date, int],
    *,
    risk_free_rate_bp: int,
    days_a_year: int,
) -> Performance | Unavailable:
    """Compute the figures of these valuations, given oldest first.

    The first valuation is the start of the period. ``index_closes`` are by day, in any unit.
    ``days_a_year`` is the number of daily returns in a year: 252 with the exchange's trading days.
    """
    returns = daily_returns(valuations)
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
        annualised_return=annualise(total, days=days),
        money_weighted_return=weighted,
        annualised_money_weighted_return=weighted
        if isinstance(weighted, Unavailable)
        else annualise(weighted, days=days),
        volatility=volatility(values, days_a_year=days_a_year),
        sharpe_ratio=sharpe_ratio(
            values, risk_free_rate_bp=risk_free_rate_bp, days_a_year=days_a_year
        ),
        max_drawdown=max_drawdown(returns),
        best=max(returns, key=lambda one: one.value),
        worst=min(returns, key=lambda one: one.value),
        comparison=compare_with_index(returns, index_closes),
    )


def volatility(values: Sequence[Decimal], *, days_a_year: int) -> Figure:
    """Return the sample standard deviation of daily returns times the square root of
    ``days_a_year``.
    """
    if len(values) < RETURNS_NEEDED:
        return Unavailable(
            UnavailableReason.TOO_FEW_RETURNS, needed=RETURNS_NEEDED, have=len(values)
        )
    return _deviation(values) * Decimal(days_a_year).sqrt()


def sharpe_ratio(values: Sequence[Decimal], *, risk_free_rate_bp: int, days_a_year: int) -> Figure:
    """Return the annualised Sharpe ratio of daily returns.

    It is the mean daily return above the risk-free rate, divided by the standard deviation, times
    the square root of ``days_a_year``. The daily risk-free rate compounds to the given rate in a
    year.
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
    """Return the daily rate that compounds to a yearly rate, given in basis points."""
    return (1 + Decimal(rate_bp) / BASIS_POINTS) ** (Decimal(1) / days_a_year) - 1


def max_drawdown(returns: Sequence[Return]) -> Drawdown | None:
    """Return the deepest fall below a peak, the first of equally deep ones.

    The start of the period counts as a peak. Return None if the returns never fall.
    """
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


def compare_with_index(
    returns: Sequence[Return], index_closes: Mapping[date, int]
) -> Comparison | Unavailable:
    """Compare the account with an index over the days that have a close of the index.

    Days without a close are skipped for both: their returns are chained into the next ones.
    """
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
    """Return the covariance of the account's and the index's returns, divided by the index's
    variance.
    """
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
