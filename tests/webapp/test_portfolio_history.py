"""Daily account values with flows, today's provisional value, and fully sold stocks."""

from datetime import date, datetime

import pytest
from sqlalchemy import update

from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG
from tests.trading.portfolio.days import close, record
from tests.webapp.client import Api, data_of, problem_of
from trading.portfolio.tables import DAILY_SNAPSHOTS

START = 10_000_000
FRIDAY = date(2026, 11, 20)
DAY_MEMBERS = [
    "day", "provisional", "total_assets", "cash_balance", "holdings_value", "net_flow", "deposits",
    "withdrawals", "profit",
    "profit_rate_bp", "carried_holdings", "unpriced_holdings",
]  # fmt: skip


def test_history_contains_recorded_days_and_today(krx_api: Api) -> None:
    """The weekend's deposit belongs to Monday, and profits exclude flows."""
    api = krx_api
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.post("/balance/withdraw", person, {"amount": 100_000})
    close(api.harness, FRIDAY, 71_000)
    api.harness.clock.advance(days=1)
    record(api.harness)
    api.post("/balance/deposit", person, {"amount": 500_000})
    api.harness.clock.advance(days=2)
    api.harness.tick(69_000, base=71_000)
    person = api.signed_in(person.email)

    history = data_of(api.get("/portfolio/history?from=2026-11-20", person))

    assert list(history) == ["from", "to", "items"]
    assert (history["from"], history["to"]) == ("2026-11-20", "2026-11-23")
    friday, monday = history["items"]
    assert list(friday) == list(monday) == DAY_MEMBERS
    cash = START - 700_105 - 100_000
    assert friday == {
        "day": "2026-11-20", "provisional": False, "total_assets": cash + 710_000,
        "cash_balance": cash, "holdings_value": 710_000,
        "net_flow": START - 100_000, "deposits": START, "withdrawals": 100_000, "profit": 9_895,
        "profit_rate_bp": 10,
        "carried_holdings": 0, "unpriced_holdings": 0,
    }  # fmt: skip
    assert monday == {
        "day": "2026-11-23", "provisional": True, "total_assets": cash + 500_000 + 690_000,
        "cash_balance": cash + 500_000,
        "holdings_value": 690_000, "net_flow": 500_000, "deposits": 500_000, "withdrawals": 0,
        "profit": -20_000, "profit_rate_bp": -19,
        "carried_holdings": 0, "unpriced_holdings": 0,
    }  # fmt: skip
    assert data_of(api.get("/portfolio/history?to=2026-11-22", person))["items"] == [friday]
    assert data_of(api.get("/portfolio/history?from=2026-11-21", person))["items"] == [monday]
    assert data_of(api.get("/portfolio/history", person))["from"] == "2026-08-26"


def test_history_of_a_new_account_starts_today(api: Api) -> None:
    """Its starting cash is a deposit, not a profit."""
    (today,) = data_of(api.get("/portfolio/history", api.person()))["items"]
    assert (today["provisional"], today["total_assets"], today["net_flow"], today["profit"]) == (
        True,
        START,
        START,
        0,
    )


def test_day_is_provisional_until_it_is_recorded(krx_api: Api) -> None:
    """It is recorded ten minutes after the last trade; later changes belong to Monday."""
    api = krx_api
    person = api.person()
    for at, label in (("11:10:59", "2026-11-20"), ("11:11:00", "2026-11-23")):
        api.harness.clock.now = datetime.fromisoformat(f"2026-11-20T{at}+00:00")
        person = api.signed_in(person.email)
        record(api.harness)
        *_, newest = data_of(api.get("/portfolio/history", person))["items"]
        assert (newest["day"], newest["provisional"]) == (label, True)


def test_day_without_a_close_is_valued_at_the_last_fill(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    api.harness.clock.advance(days=1, hours=15)
    record(api.harness)
    person = api.signed_in(person.email)
    day, *_ = data_of(api.get("/portfolio/history", person))["items"]
    assert (day["total_assets"], day["carried_holdings"]) == (START - 10, 1)


def test_unpriced_holding_of_an_older_row_makes_the_total_unknown(api: Api) -> None:
    """On its day, and the profit of the next day."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    api.harness.clock.advance(days=1, hours=15)
    record(api.harness)
    unpriced = update(DAILY_SNAPSHOTS).values(unpriced_holdings=1)
    api.harness.do(lambda session: session.execute(unpriced))
    api.harness.tick(70_000)
    person = api.signed_in(person.email)
    *_, day, today = data_of(api.get("/portfolio/history", person))["items"]
    assert (
        day["total_assets"],
        day["profit"],
        day["profit_rate_bp"],
        day["unpriced_holdings"],
    ) == (
        None,
        None,
        None,
        1,
    )
    assert today["total_assets"] is not None
    assert (today["profit"], today["profit_rate_bp"]) == (None, None)


def test_today_is_valued_without_redis(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    api.harness.core.redis.flushall()
    (today,) = data_of(api.get("/portfolio/history", person))["items"]
    assert (today["total_assets"], today["cash_balance"], today["unpriced_holdings"]) == (
        START - 10,
        START - 70_010,
        0,
    )


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-21&to=2026-11-20", "from=2023-01-01&to=2026-01-01", "from=x", "to=2026-02-30",
        "from=0001-01-01", "to=9999-12-31",
        "from=%00", "from=%ED%A0%80", "from=" + "9" * 5_000, "from=2026-11-20T00:00:00", "from=",
        "from=-1",
    ],
)  # fmt: skip
def test_invalid_period_is_refused(sqlite_api: Api, query: str) -> None:
    problem_of(
        sqlite_api.get(f"/portfolio/history?{query}", sqlite_api.person()), "validation-failed"
    )


def test_longest_and_open_periods(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    assert data_of(sqlite_api.get("/portfolio/history?from=2023-11-21&to=2026-11-20", person))[
        "items"
    ]
    assert (
        data_of(sqlite_api.get("/portfolio/history?from=2023-01-01", person))["to"] == "2025-12-31"
    )
    assert data_of(sqlite_api.get("/portfolio/history?from=2027-01-01", person)) == {
        "from": "2027-01-01", "to": "2027-01-01", "items": [],
    }  # fmt: skip
    assert data_of(sqlite_api.get("/portfolio/history?to=2100-12-31", person))["items"] == []


def test_statement_count_does_not_depend_on_the_period(api: Api) -> None:
    person = api.person()
    counts = []
    for days in (1, 30):
        api.harness.tick(70_000)
        api.bought(person, 1)
        api.harness.clock.advance(days=days)
        record(api.harness)
        person = api.signed_in(person.email)
        with statements_counted(api.harness.core.database.engine) as statements:
            data_of(api.get("/portfolio/history", person))
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 13


def test_fully_sold_stock_is_listed_as_closed(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    assert data_of(api.get("/portfolio/closed", person)) == {"items": [], "next_cursor": None}
    api.harness.tick(77_000)
    api.order(person, "SELL", 10)
    api.harness.run_all()

    (closed,) = data_of(api.get("/portfolio/closed", person))["items"]

    profit = 770_000 - 115 - 1_540 - 700_105
    assert closed == {
        "stock_code": SAMSUNG, "name": "삼성전자", "market": "KOSPI", "sector": "반도체",
        "sold_quantity": 10, "cost": 700_105,
        "written_off_quantity": 0,
        "proceeds": 700_105 + profit, "realized_profit": profit, "realized_profit_rate_bp": 975,
        "last_sold_at": api.harness.clock().isoformat(),
    }  # fmt: skip
    assert data_of(api.get("/portfolio", person))["items"] == []
    problem_of(api.get(f"/portfolio/{SAMSUNG}", person), "holding-not-found")
    summary = data_of(api.get("/portfolio/summary", person))
    assert (
        summary["realized_profit"]
        == summary["todays_change"]
        == summary["total_assets"] - START
        == profit
    )
    assert data_of(api.get("/portfolio/closed", api.person()))["items"] == []


def test_summary_has_the_sectors(api: Api) -> None:
    person = api.person()
    api.harness.tick(70_000, base=69_000)
    api.bought(person, 10)
    summary = data_of(api.get("/portfolio/summary", person))
    assert summary["sectors"] == [
        {"sector": "반도체", "holdings": 1, "value": 700_000, "weight_bp": 10_000}
    ]
    assert (summary["todays_change"], summary["todays_change_rate_bp"]) == (-105, 0)
