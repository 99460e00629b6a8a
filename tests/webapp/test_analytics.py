"""Trade statistics and realized profit over HTTP."""

from typing import Any

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX
from tests.webapp.client import Api, Person, data_of, problem_of

TOTALS = [
    "executions", "turnover", "bought_amount", "sold_amount", "commission", "tax",
    "unapplied_executions", "trades", "wins", "losses", "win_rate",
    "realized_profit", "gross_profit", "gross_loss", "average_win", "average_loss", "largest_win",
    "largest_loss", "profit_factor",
    "average_holding_s",
]  # fmt: skip
PATHS = ("/trading/statistics", "/trading/realized-profit-loss", "/trading/performance")


@pytest.fixture
def trader(api: Api) -> Person:
    """A user with a win and a loss on the 20th and 21st in Korea, both the 20th in UTC."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.harness.tick(200_000, HYNIX)
    api.bought(person, 2, HYNIX)
    api.harness.clock.advance(hours=1)
    api.harness.tick(71_300)
    api.order(person, "SELL", 4)
    api.harness.run_all()
    api.harness.clock.advance(hours=13, minutes=30)
    api.harness.tick(190_000, HYNIX)
    api.order(person, "SELL", 1, HYNIX)
    api.harness.run_all()
    return person


def statistics(api: Api, who: Person, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = data_of(api.get(f"/trading/statistics{query}", who))
    return found


def profits(api: Api, who: Person, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = data_of(api.get(f"/trading/realized-profit-loss{query}", who))
    return found


def test_statistics_contain_totals_and_days(api: Api, trader: Person) -> None:
    """Newest day first; ratios have six places, and figures without a value are null."""
    found = statistics(api, trader)

    assert list(found["totals"]) == TOTALS
    assert (found["from"], found["to"], found["stock_code"], found["group_by"]) == (
        None,
        None,
        None,
        "day",
    )
    # Sold for 190,000: 28 commission, 380 taxes, and 30 of the 60 paid for buying two at 200,000.
    assert found["totals"] == {
        "executions": 4, "turnover": 1_575_200, "bought_amount": 1_100_000, "sold_amount": 475_200,
        "commission": 235, "tax": 949,
        "unapplied_executions": 0, "trades": 2, "wins": 1, "losses": 1, "win_rate": "0.500000",
        "realized_profit": -5_891, "gross_profit": 4_547,
        "gross_loss": 10_438, "average_win": 4_547, "average_loss": 10_438, "largest_win": 4_547,
        "largest_loss": 10_438,
        "profit_factor": "0.435620", "average_holding_s": (3_600 + 52_200) // 2,
    }  # fmt: skip
    assert [(item["period"], item["from"], item["to"]) for item in found["items"]] == [
        ("2026-11-21", "2026-11-21", "2026-11-21"),
        ("2026-11-20", "2026-11-20", "2026-11-20"),
    ]
    lost = found["items"][0]["totals"]
    assert (lost["trades"], lost["win_rate"], lost["average_win"], lost["profit_factor"]) == (
        1,
        "0.000000",
        None,
        "0.000000",
    )
    assert found["items"][1]["totals"]["profit_factor"] is None
    best, worst = found["best_trade"], found["worst_trade"]
    assert (best["stock_code"], best["quantity"], best["amount"], best["realized_profit"]) == (
        "A005930",
        4,
        285_200,
        4_547,
    )
    assert (worst["day"], worst["stock_name"], worst["realized_profit"]) == (
        "2026-11-21",
        "SK하이닉스",
        -10_438,
    )


@pytest.mark.parametrize(
    ("query", "periods", "trades"),
    [
        ("?group_by=week", ["2026-W47"], 2),
        ("?group_by=month", ["2026-11"], 2),
        ("?limit=1", ["2026-11-21"], 2),
        ("?limit=1&cursor=2026-11-21", ["2026-11-20"], 2),
        ("?cursor=2026-11-20", [], 2),
        ("?from=2026-11-21", ["2026-11-21"], 1),
        ("?to=2026-11-20", ["2026-11-20"], 1),
        ("?stock_code=000660", ["2026-11-21", "2026-11-20"], 1),
        ("?from=2026-11-22", [], 0),
    ],
)
def test_statistics_are_filtered_and_paged(
    api: Api, trader: Person, query: str, periods: list[str], trades: int
) -> None:
    """The totals cover the whole period on every page."""
    found = statistics(api, trader, query)

    assert [item["period"] for item in found["items"]] == periods
    assert found["totals"]["trades"] == trades
    assert found["next_cursor"] == ("2026-11-21" if query == "?limit=1" else None)


@pytest.mark.parametrize(
    ("group_by", "keys"),
    [
        ("day", ["2026-11-21", "2026-11-20"]),
        ("month", ["2026-11"]),
        ("year", ["2026"]),
        ("stock", ["A000660", "A005930"]),
    ],
)
def test_realized_profit_is_grouped(
    api: Api, trader: Person, group_by: str, keys: list[str]
) -> None:
    """The groups add up to the totals, which agree with the statistics."""
    found = profits(api, trader, f"?group_by={group_by}")

    assert found["group_by"] == group_by
    assert [item["key"] for item in found["items"]] == keys
    assert (
        sum(item["realized_profit"] for item in found["items"])
        == found["totals"]["realized_profit"]
        == -5_891
    )
    assert (
        found["totals"]["realized_profit"] == statistics(api, trader)["totals"]["realized_profit"]
    )
    assert {item["stock_name"] for item in found["items"]} == (
        {"SK하이닉스", "삼성전자"} if group_by == "stock" else {None}
    )
    assert found["totals"]["profit_rate"] == "-0.012271"
    assert found["next_cursor"] is None


def test_realized_profit_is_paged(api: Api, trader: Person) -> None:
    first = profits(api, trader, "?limit=1")
    second = profits(api, trader, f"?limit=1&cursor={first['next_cursor']}")

    assert [item["key"] for item in first["items"] + second["items"]] == [
        "2026-11-21",
        "2026-11-20",
    ]
    assert second["next_cursor"] is None
    assert first["totals"] == second["totals"]


def test_analytics_contain_only_own_trades(api: Api, trader: Person) -> None:
    other = api.person()

    assert (
        statistics(api, other)["totals"]["executions"]
        == profits(api, other)["totals"]["executions"]
        == 0
    )
    assert (statistics(api, other)["items"], statistics(api, other)["best_trade"]) == ([], None)
    assert profits(api, other, "?group_by=stock")["items"] == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-21&to=2026-11-20", "from=yesterday", "to=", "from=0001-01-01",
        "to=9999-12-31", "from=%00", "from=%ED%A0%80",
    ],
)  # fmt: skip
def test_invalid_period_is_refused(sqlite_api: Api, path: str, query: str) -> None:
    problem_of(sqlite_api.get(f"{path}?{query}", sqlite_api.person()), "validation-failed")


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize(
    "query",
    [
        "stock_code=samsung", "group_by=hour", "group_by=", "limit=0", "limit=101", "limit=1e9",
        "limit=99999999999999999999", "cursor=",
        "cursor=%00%00%00%00", "cursor=2026-11-20%0A", "cursor=%27;DROP%20TABLE",
        "cursor=%F0%9F%92%B8%F0%9F%92%B8",
    ],
)  # fmt: skip
def test_invalid_query_is_refused(sqlite_api: Api, path: str, query: str) -> None:
    problem_of(sqlite_api.get(f"{path}?{query}", sqlite_api.person()), "validation-failed")


def test_each_resource_has_its_own_groupings(sqlite_api: Api) -> None:
    """Statistics have weeks; realized profit has years and stocks."""
    person = sqlite_api.person()
    problem_of(
        sqlite_api.get("/trading/realized-profit-loss?group_by=week", person), "validation-failed"
    )
    problem_of(sqlite_api.get("/trading/statistics?group_by=stock", person), "validation-failed")


def test_statement_count_does_not_depend_on_the_number_of_trades(api: Api) -> None:
    person = api.person()
    counts: dict[str, set[int]] = {path: set() for path in PATHS}
    for more in (1, 6):
        for _ in range(more):
            api.harness.clock.advance(hours=30)
            api.harness.tick(70_000)
            api.bought(person, 2)
            api.order(person, "SELL", 1)
            api.harness.run_all()
        for path in PATHS:
            api.get(path, person)
            with statements_counted(api.harness.core.database.engine) as statements:
                data_of(api.get(path, person))
            counts[path].add(len(statements))
    assert all(len(found) == 1 for found in counts.values()), counts
