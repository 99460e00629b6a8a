"""Performance figures, compared with a second implementation (empyrical) and their definitions."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from trading.portfolio.performance import (
    RETURNS_NEEDED,
    Comparison,
    Performance,
    beta,
    compare_with_index,
    max_drawdown,
    performance,
    risk_free_rate_a_day,
    sharpe_ratio,
    volatility,
)
from trading.portfolio.returns import (
    Return,
    Unavailable,
    UnavailableReason,
    Valuation,
    annualise,
    total_return,
)

FIRST = date(2026, 1, 2)
PRECISION = 1e-9

# Between −30 % and +30 % (KRX's limits), in steps that a float can represent.
DAILY = st.decimals("-0.3", "0.3", places=6)
SERIES = st.lists(DAILY, min_size=RETURNS_NEEDED, max_size=120)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def returns(*values: Any) -> list[Return]:
    return [Return(day(n), day(n + 1), Decimal(value)) for n, value in enumerate(values)]


def floats(values: list[Decimal]) -> Any:
    return np.array([float(value) for value in values])


@given(SERIES)
def test_total_and_annualised_returns_equal_empyrical(values: list[Decimal]) -> None:
    total = total_return(values)

    assert float(total) == pytest.approx(
        empyrical.cum_returns_final(floats(values)), rel=PRECISION, abs=PRECISION
    )
    calendar_days = 365 + len(values)
    yearly = annualise(total, days=calendar_days)
    assert isinstance(yearly, Decimal)
    oracle = empyrical.annual_return(
        floats(values), annualization=len(values) * 365 / calendar_days
    )
    assert float(yearly) == pytest.approx(oracle, rel=PRECISION, abs=PRECISION)


@given(SERIES, st.sampled_from((252, 365)), st.integers(0, 1_000))
def test_volatility_and_sharpe_ratio_equal_empyrical(
    values: list[Decimal], days_a_year: int, rate_bp: int
) -> None:
    assume(max(values) - min(values) > Decimal("1e-4"))
    found = volatility(values, days_a_year=days_a_year)
    assert isinstance(found, Decimal)
    oracle = empyrical.annual_volatility(floats(values), annualization=days_a_year)
    assert float(found) == pytest.approx(oracle, rel=PRECISION)

    sharpe = sharpe_ratio(values, risk_free_rate_bp=rate_bp, days_a_year=days_a_year)
    assert isinstance(sharpe, Decimal)
    risk_free = float(risk_free_rate_a_day(rate_bp, days_a_year=days_a_year))
    oracle = empyrical.sharpe_ratio(floats(values), risk_free=risk_free, annualization=days_a_year)
    assert float(sharpe) == pytest.approx(oracle, rel=PRECISION, abs=PRECISION)


@given(SERIES)
def test_drawdown_equals_empyrical_and_its_days_are_consistent(values: list[Decimal]) -> None:
    found = max_drawdown(returns(*values))

    oracle = empyrical.max_drawdown(floats(values))
    if found is None:
        assert all(value >= 0 for value in values)
        assert oracle == 0
        return
    assert float(found.depth) == pytest.approx(oracle, rel=PRECISION, abs=PRECISION)
    worth = {day(n): total_return(values[:n]) + 1 for n in range(len(values) + 1)}
    assert worth[found.trough_day] / worth[found.peak_day] - 1 == pytest.approx(
        found.depth, abs=Decimal("1e-20")
    )
    at_peak = worth[found.peak_day] * (1 - Decimal("1e-15"))
    back = [at for at in worth if at > found.trough_day and worth[at] >= at_peak]
    assert found.recovery_day == (min(back) if back else None)


@given(st.lists(st.tuples(DAILY, DAILY), min_size=RETURNS_NEEDED, max_size=120))
def test_beta_equals_empyrical(pairs: list[tuple[Decimal, Decimal]]) -> None:
    own, index = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assume(max(index) - min(index) > Decimal("1e-2"))

    found = beta(own, index)

    assert isinstance(found, Decimal)
    assert float(found) == pytest.approx(
        empyrical.beta(floats(own), floats(index)), rel=PRECISION, abs=PRECISION
    )


def test_risk_figures_need_twenty_returns() -> None:
    """Equal returns have zero volatility, no Sharpe ratio, and no beta to an equal index."""
    few, enough = [Decimal("0.01")] * 19, [Decimal("0.01")] * 20
    lack = Unavailable(UnavailableReason.TOO_FEW_RETURNS, needed=20, have=19)

    assert volatility(few, days_a_year=252) == beta(few, few) == lack
    assert sharpe_ratio(few, risk_free_rate_bp=0, days_a_year=252) == lack
    assert volatility(enough, days_a_year=252) == pytest.approx(0, abs=Decimal("1e-20"))
    assert sharpe_ratio(enough, risk_free_rate_bp=0, days_a_year=252) == Unavailable(
        UnavailableReason.NO_VARIATION
    )
    third = [Decimal(1) / 3] * 30
    assert (
        sharpe_ratio(third, risk_free_rate_bp=0, days_a_year=252)
        == beta(third, third)
        == Unavailable(UnavailableReason.NO_VARIATION)
    )


def test_beta_and_excess_return_to_an_index() -> None:
    """Beta is 1 without excess return for the index itself, and 2 for twice its moves."""
    moves = [Decimal(n % 7 - 3) / 100 for n in range(40)]

    assert beta(moves, moves) == 1
    assert beta([2 * move for move in moves], moves) == 2


@pytest.mark.parametrize(
    ("values", "depth", "days"),
    [
        (["0.1", "-0.5", "0.5", "0.5", "0"], "-0.5", (1, 2, 4)),
        (["-0.1", "-0.1"], "-0.19", (0, 2, None)),
        (["0.2", "0", "-0.1", "0.05"], "-0.1", (2, 3, None)),
        (["-0.1", "0.25", "-0.1", "0.25"], "-0.1", (0, 1, 2)),
        (["-0.1", "0.25", "-0.2", "0"], "-0.2", (2, 3, None)),
        (["-1", "0.5"], "-1", (0, 1, None)),
    ],
)
def test_drawdown_has_peak_trough_and_recovery_days(
    values: list[str], depth: str, days: tuple[int, int, int | None]
) -> None:
    """The last day at the peak, the first at the trough and the first at the peak again.

    The first of equally deep drawdowns counts.
    """
    found = max_drawdown(returns(*values))

    assert found is not None
    assert found.depth == pytest.approx(Decimal(depth), abs=Decimal("1e-20"))
    peak, trough, recovery = days
    assert (found.peak_day, found.trough_day) == (day(peak), day(trough))
    assert found.recovery_day == (None if recovery is None else day(recovery))


def test_rounding_error_is_not_a_drawdown() -> None:
    """A rise by a third and the equal fall return to the peak except for the last of 28 digits."""
    assert max_drawdown(returns("0.1", "0", "0.2")) is None
    found = max_drawdown(returns(Decimal(1) / 3, Decimal(-1) / 3, "0.5", "0"))
    assert found is not None
    assert found.recovery_day == day(3)


def test_comparison_uses_the_days_of_the_index() -> None:
    """Returns over a day without a close are chained for both."""
    own = returns("0.1", "0.1", "-0.5", "0.1")

    found = compare_with_index(own, {day(0): 400_000, day(1): 410_000, day(3): 369_000})

    assert isinstance(found, Comparison)
    assert (found.since, found.until, found.returns) == (day(0), day(3), 2)
    assert (found.account_return, found.index_return) == (Decimal("-0.395"), Decimal("-0.0775"))
    assert found.excess_return == Decimal("-0.3175")
    assert found.beta == Unavailable(UnavailableReason.TOO_FEW_RETURNS, needed=20, have=2)


@pytest.mark.parametrize("days", [(), (2,), (7, 8)])
def test_comparison_needs_two_closes(days: tuple[int, ...]) -> None:
    found = compare_with_index(returns("0.1", "0.1"), {day(n): 400_000 for n in days})

    assert found == Unavailable(
        UnavailableReason.INDEX_CLOSES_MISSING, needed=2, have=sum(n < 3 for n in days)
    )


def test_performance_is_unavailable_without_returns() -> None:
    for valuations in ([], [Valuation(FIRST, 100, 100)], [Valuation(day(n), 0) for n in range(5)]):
        found = performance(valuations, {}, risk_free_rate_bp=250, days_a_year=252)
        assert found == Unavailable(UnavailableReason.NO_RETURNS)


def test_more_than_a_year_has_every_figure() -> None:
    """An account that follows the index, with a deposit."""
    worth, closes, valuations = 1_000_000, {FIRST: 400_000}, [Valuation(FIRST, 1_000_000)]
    for n in range(1, 400):
        paid = 500_000 if n == 100 else 0
        percent = 101 if n % 3 else 99
        worth = (worth + paid) * percent // 100
        closes[day(n)] = closes[day(n - 1)] * percent // 100
        valuations.append(Valuation(day(n), worth, paid))

    found = performance(valuations, closes, risk_free_rate_bp=250, days_a_year=252)

    assert isinstance(found, Performance)
    assert (found.since, found.until, found.days, len(found.returns)) == (FIRST, day(399), 399, 399)
    assert found.best.value == pytest.approx(Decimal("0.01"), abs=Decimal("1e-5"))
    assert found.worst.value == pytest.approx(Decimal("-0.01"), abs=Decimal("1e-5"))
    figures = (
        found.annualised_return,
        found.annualised_money_weighted_return,
        found.volatility,
        found.sharpe_ratio,
    )
    assert all(isinstance(figure, Decimal) for figure in figures)
    assert isinstance(found.comparison, Comparison)
    assert found.comparison.beta == pytest.approx(1, abs=Decimal("1e-3"))
    assert found.comparison.excess_return == pytest.approx(0, abs=Decimal("0.01"))


@settings(max_examples=examples(300))
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(10**15), 10**15), *[st.just(0) | st.integers(0, 10**15)] * 2
        ),
        max_size=40,
    ),
    st.sets(st.integers(0, 40)),
    st.integers(0, 10_000),
)
def test_any_history_has_a_result(
    rows: list[tuple[int | None, int, int]], closed: set[int], rate_bp: int
) -> None:
    """Each figure is a number or has a reason."""
    valuations = [Valuation(day(10 * n), *row) for n, row in enumerate(rows)]

    found = performance(
        valuations,
        {day(10 * n): n * 1_000 + 1 for n in closed},
        risk_free_rate_bp=rate_bp,
        days_a_year=365,
    )

    if isinstance(found, Unavailable):
        assert found.reason is UnavailableReason.NO_RETURNS
        return
    assert found.worst.value <= found.best.value
    assert found.time_weighted_return >= -1
    for figure in (
        found.money_weighted_return,
        found.volatility,
        found.sharpe_ratio,
        found.annualised_return,
    ):
        assert isinstance(figure, Unavailable) or figure.is_finite()
