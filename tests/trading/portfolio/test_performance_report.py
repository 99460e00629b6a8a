"""Performance reports from recorded days and index closes."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from launcher.plan import ROOT
from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness
from tests.trading.portfolio.recorded_days import record_closes, record_day, record_days
from trading.config.settings import Settings
from trading.exchange.hours import KrxHours
from trading.portfolio.performance import Comparison, Performance
from trading.portfolio.performance_report import PerformanceReport, performance_report
from trading.portfolio.returns import Unavailable, UnavailableReason
from trading.stocks.indices.listing import read_index_closes
from trading.stocks.indices.queries import KOSPI

REAL_FILE = ROOT.parent / "shared" / "data" / "kospi_index_2026.csv"
MONDAY = date(2026, 11, 16)


def day(n: int) -> date:
    return MONDAY + timedelta(days=n)


def report(
    harness: TradingHarness,
    user: UUID,
    since: date | None = None,
    until: date | None = None,
    **settings: Any,
) -> PerformanceReport:
    calendar = KrxHours({})
    return harness.core.read(
        performance_report,
        user_id=user,
        since=since,
        until=until,
        index_code=KOSPI,
        is_exchange_day=calendar.is_trading_day,
        settings=Settings.model_validate(settings) if settings else harness.settings,
    )


def figures(harness: TradingHarness, user: UUID, **period: Any) -> Performance:
    found = report(harness, user, **period).figures
    assert isinstance(found, Performance)
    return found


@pytest.fixture
def user(harness: TradingHarness) -> UUID:
    """A user with four days, opened with a million won, beside another user's days."""
    user = harness.user()
    record_days(
        harness,
        user,
        day(0),
        [(990_000, 1_000_000), (1_089_000, 0), (1_589_000, 500_000), (1_430_100, 0)],
    )
    record_days(harness, harness.user(), day(0), [(1, 1), (2, 0)])
    return user


def test_account_is_measured_from_its_opening(harness: TradingHarness, user: UUID) -> None:
    """The starting cash is a deposit of the first day, so a loss on that day counts."""
    found = report(harness, user)

    assert found.recorded_days == 4
    assert isinstance(found.figures, Performance)
    assert (found.figures.since, found.figures.until) == (day(-1), day(3))
    assert [one.value for one in found.figures.returns] == [
        Decimal("-0.01"),
        Decimal("0.1"),
        0,
        Decimal("-0.1"),
    ]
    assert (
        found.figures.time_weighted_return == Decimal("0.99") * Decimal("1.1") * Decimal("0.9") - 1
    )


def test_period_is_measured_from_the_previous_close(harness: TradingHarness, user: UUID) -> None:
    found = figures(harness, user, since=day(2), until=day(2))

    assert (found.since, found.until, [one.value for one in found.returns]) == (day(1), day(2), [0])
    assert (
        figures(harness, user, since=day(-9))
        == figures(harness, user)
        == figures(harness, user, until=day(9))
    )


@pytest.mark.parametrize("period", [{"since": day(4)}, {"until": day(-1)}])
def test_period_without_days_has_no_figures(
    harness: TradingHarness, user: UUID, period: dict[str, date]
) -> None:
    found = report(harness, user, **period)

    assert (found.recorded_days, found.figures) == (0, Unavailable(UnavailableReason.NO_RETURNS))
    assert report(harness, harness.user()).figures == Unavailable(UnavailableReason.NO_RETURNS)


def test_returns_span_unpriced_days(harness: TradingHarness) -> None:
    user = harness.user()
    record_day(harness, user, day(0), 1_000, 1_000, carried_holdings=2)
    record_day(harness, user, day(1), 10, unpriced_holdings=1, carried_holdings=1)
    record_day(harness, user, day(2), 600, holdings_value=500)

    found = report(harness, user)

    assert (found.unpriced_days, found.carried_days, found.recorded_days) == ((day(1),), 2, 3)
    assert isinstance(found.figures, Performance)
    assert [(one.since, one.day) for one in found.figures.returns] == [
        (day(-1), day(0)),
        (day(0), day(2)),
    ]
    assert found.figures.time_weighted_return == Decimal("0.1")


def test_index_closes_are_those_of_the_recorded_days(harness: TradingHarness, user: UUID) -> None:
    """An account opened on a Monday starts at Friday's close. Missing trading days are reported."""
    record_closes(harness, {day(-3): 400_000, day(0): 404_000, day(1): 396_000, day(3): 420_000})

    found = report(harness, user)

    assert found.missing_closes == (day(2),)
    assert isinstance(found.figures, Performance)
    compared = found.figures.comparison
    assert isinstance(compared, Comparison)
    assert (compared.since, compared.until, compared.returns) == (day(-1), day(3), 3)
    assert compared.account_return == found.figures.time_weighted_return
    assert compared.index_return == pytest.approx(Decimal("0.05"), abs=Decimal("1e-20"))


def test_account_figures_are_available_without_index_closes(
    harness: TradingHarness, user: UUID
) -> None:
    found = report(harness, user)

    assert isinstance(found.figures, Performance)
    assert found.figures.comparison == Unavailable(
        UnavailableReason.INDEX_CLOSES_MISSING, needed=2, have=0
    )
    assert found.missing_closes == (day(0), day(1), day(2), day(3))


def test_risk_uses_the_markets_days_in_a_year(harness: TradingHarness) -> None:
    """252 with the exchange's hours, 365 for a market that never closes."""
    user = harness.user()
    record_days(
        harness,
        user,
        day(0),
        [(1_000_000 + 1_000 * (n % 5), 1_000_000 if n == 0 else 0) for n in range(30)],
    )
    volatilities = []
    for hours, days, rate_bp in (("always", 365, 300), ("krx", 252, 0)):
        found = report(harness, user, market_hours=hours, risk_free_rate_bp=rate_bp)
        assert (found.days_a_year, found.risk_free_rate_bp) == (days, rate_bp)
        assert isinstance(found.figures, Performance)
        assert isinstance(found.figures.volatility, Decimal)
        volatilities.append(found.figures.volatility**2 / days)
    assert volatilities[0] == pytest.approx(volatilities[1], rel=Decimal("1e-20"))


def test_report_takes_two_statements(harness: TradingHarness, user: UUID) -> None:
    counts = []
    for since in (None, day(2), day(90)):
        with statements_counted(harness.core.database.engine) as statements:
            report(harness, user, since=since)
        counts.append(len([one for one in statements if one.startswith("SELECT")]))
    assert counts == [2, 2, 1]


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the exchange's files are not part of the product"
)
def test_account_that_follows_the_index_has_its_return_and_beta_one(
    harness: TradingHarness,
) -> None:
    """The real closes of 2026, as account values of 100 won for 0.01 points."""
    user, closes = harness.user(), read_index_closes(REAL_FILE)
    first, *days = sorted(closes)
    record_closes(harness, closes)
    record_day(harness, user, first, closes[first] * 100, closes[first] * 100)
    for at in days:
        record_day(harness, user, at, closes[at] * 100)

    found = report(harness, user, since=days[0])

    assert found.missing_closes == ()
    assert isinstance(found.figures, Performance)
    compared = found.figures.comparison
    assert isinstance(compared, Comparison)
    # 4,309.63 on 2 January and 5,781.20 on 20 March.
    assert compared.index_return == pytest.approx(
        Decimal("5781.20") / Decimal("4309.63") - 1, abs=Decimal("1e-20")
    )
    assert (compared.excess_return, compared.beta, compared.returns) == (0, 1, 51)
    assert isinstance(found.figures.annualised_return, Unavailable)
