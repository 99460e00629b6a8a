"""Performance figures over HTTP: each figure, or the reason why there is none."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.trading.portfolio.recorded_days import record_closes, record_day, record_days
from tests.webapp.client import HANGUL, Api, Person, data_of
from trading.portfolio.returns import UnavailableReason
from webapp.api.analytics import REASONS

MEMBERS = [
    "from", "to", "calendar_days", "recorded_days", "returns", "carried_days", "unpriced_days",
    "days_a_year", "risk_free_rate_bp",
    "time_weighted_return", "annualised_return", "money_weighted_return",
    "annualised_money_weighted_return", "volatility", "sharpe_ratio",
    "max_drawdown", "best_day", "worst_day", "benchmark", "unavailable",
]  # fmt: skip
FIGURES = MEMBERS[9:15]
MONDAY = date(2026, 11, 16)


def performance(api: Api, who: Person, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = data_of(api.get(f"/trading/performance{query}", who))
    assert list(found) == MEMBERS
    lacking = {lack["figure"] for lack in found["unavailable"]}
    assert {name for name in FIGURES if found[name] is None} == lacking & set(FIGURES)
    for lack in found["unavailable"]:
        assert lack["message"] == REASONS[UnavailableReason(lack["reason"])]
    return found


def test_new_account_has_no_figures(api: Api) -> None:
    """Each is null with a reason."""
    found = performance(api, api.person())

    assert (found["from"], found["to"], found["recorded_days"], found["returns"]) == (
        None,
        None,
        0,
        0,
    )
    assert {lack["figure"]: lack["reason"] for lack in found["unavailable"]} == dict.fromkeys(
        (*FIGURES, "benchmark"), "no-returns"
    )
    assert (found["max_drawdown"], found["best_day"], found["worst_day"]) == (None, None, None)
    assert found["benchmark"] == {
        "index_code": "KOSPI", "from": None, "to": None, "returns": 0, "account_return": None,
        "index_return": None, "excess_return": None,
        "beta": None, "missing_closes": 0, "missing_days": [],
    }  # fmt: skip


def test_few_days_have_returns_but_no_risk_figures(api: Api) -> None:
    """Five days with a deposit; missing figures say how many days they need."""
    person = api.person()
    days = [
        (990_000, 1_000_000),
        (1_089_000, 0),
        (1_589_000, 500_000),
        (1_430_100, 0),
        (1_430_100, 0),
    ]
    record_days(api.harness, UUID(person.id), MONDAY, days)
    record_closes(
        api.harness, {MONDAY + timedelta(days=n): 400_000 + 4_000 * n for n in (-3, 0, 1, 3, 4)}
    )

    found = performance(api, person)

    assert (found["from"], found["to"], found["calendar_days"], found["returns"]) == (
        "2026-11-15",
        "2026-11-20",
        5,
        5,
    )
    assert found["time_weighted_return"] == "-0.019900"
    assert found["max_drawdown"] == {
        "depth": "-0.100000", "peak_day": "2026-11-18", "trough_day": "2026-11-19",
        "recovery_day": None,
    }  # fmt: skip
    assert found["best_day"] == {"from": "2026-11-16", "day": "2026-11-17", "value": "0.100000"}
    assert found["worst_day"]["value"] == "-0.100000"
    benchmark = found["benchmark"]
    assert (benchmark["from"], benchmark["to"], benchmark["returns"]) == (
        "2026-11-15",
        "2026-11-20",
        4,
    )
    assert (benchmark["account_return"], benchmark["index_return"], benchmark["excess_return"]) == (
        "-0.019900",
        "0.072165",
        "-0.092065",
    )
    assert (benchmark["missing_closes"], benchmark["missing_days"]) == (1, ["2026-11-18"])
    lacks = {
        lack["figure"]: (lack["reason"], lack["needed"], lack["have"])
        for lack in found["unavailable"]
    }
    assert lacks == {
        "annualised_return": ("period-too-short", 365, 5),
        "annualised_money_weighted_return": ("period-too-short", 365, 5),
        "volatility": ("too-few-returns", 20, 5),
        "sharpe_ratio": ("too-few-returns", 20, 5),
        "benchmark.beta": ("too-few-returns", 20, 4),
    }


def test_period_starts_at_the_close_of_the_day_before(api: Api) -> None:
    person = api.person()
    record_days(api.harness, UUID(person.id), MONDAY, [(100, 100), (110, 0), (99, 0), (198, 0)])

    found = performance(api, person, "?from=2026-11-17&to=2026-11-18")

    assert (found["from"], found["to"], found["time_weighted_return"]) == (
        "2026-11-16",
        "2026-11-18",
        "-0.010000",
    )
    assert performance(api, person, "?from=2026-11-20")["recorded_days"] == 0


def test_total_loss_and_unknown_days(api: Api) -> None:
    """A total loss is −100 %; days without a price are listed."""
    person = api.person()
    record_days(api.harness, UUID(person.id), MONDAY, [(100, 100), (0, 0)])
    record_day(api.harness, UUID(person.id), MONDAY + timedelta(days=2), 0, unpriced_holdings=1)
    record_day(
        api.harness, UUID(person.id), MONDAY + timedelta(days=3), 120, 100, carried_holdings=1
    )

    found = performance(api, person)

    # In money 100 x⁴ + 100 x = 120, so x is 0.79687 a day.
    assert (found["time_weighted_return"], found["money_weighted_return"]) == (
        "-1.000000",
        "-0.596838",
    )
    assert (found["unpriced_days"], found["carried_days"]) == (["2026-11-18"], 1)
    assert found["max_drawdown"]["depth"] == "-1.000000"


def test_performance_contains_only_own_figures(api: Api) -> None:
    person = api.person()
    record_days(api.harness, UUID(person.id), MONDAY, [(100, 100), (110, 0)])
    assert performance(api, api.person())["recorded_days"] == 0


@pytest.mark.parametrize("lack", UnavailableReason)
def test_every_reason_has_a_message(lack: UnavailableReason) -> None:
    assert HANGUL.search(REASONS[lack])
