"""Order summaries over HTTP."""

from typing import Any

import pytest

from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.webapp.client import Api, Person, data_of, problem_of

MEMBERS = ["from", "to", "stock_code", "orders", "by_status", "buy", "sell"]
SIDE_MEMBERS = [
    "orders", "ordered_quantity", "executed_quantity", "executed_amount", "commission", "tax",
    "transaction_tax", "rural_tax",
    "realized_profit", "unapplied_executions",
]  # fmt: skip


@pytest.fixture
def trader(api: Api) -> Person:
    """Two orders of yesterday and three of today, the 21st in Korea and still the 20th in UTC."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.limit_order(person, price=60_000)
    api.harness.clock.advance(hours=14, minutes=30)
    api.harness.tick(71_300)
    api.order(person, "SELL", 4)
    api.harness.tick(200_000, HYNIX)
    api.bought(person, 1, HYNIX)
    api.ask("DELETE", f"/trading/orders/{api.limit_order(person, price=61_000)['id']}", person)
    return person


def summary(api: Api, who: Person, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = data_of(api.get(f"/trading/orders/summary{query}", who))
    assert list(found) == MEMBERS
    return found


def test_summary_of_today_is_the_default(api: Api, trader: Person) -> None:
    found = summary(api, trader)

    assert (found["from"], found["to"], found["stock_code"]) == ("2026-11-21", "2026-11-21", None)
    assert (found["orders"], found["by_status"]["FILLED"], found["by_status"]["CANCELLED"]) == (
        3,
        2,
        1,
    )
    assert list(found["buy"]) == list(found["sell"]) == SIDE_MEMBERS
    assert found["sell"] == {
        "orders": 1, "ordered_quantity": 4, "executed_quantity": 4, "executed_amount": 285_200,
        "commission": 42, "tax": 569,
        "transaction_tax": 142, "rural_tax": 427, "realized_profit": 4_547,
        "unapplied_executions": 0,
    }  # fmt: skip
    assert (
        found["buy"]["orders"],
        found["buy"]["ordered_quantity"],
        found["buy"]["executed_quantity"],
    ) == (2, 11, 1)


@pytest.mark.parametrize(
    ("query", "orders", "days"),
    [
        ("?from=2026-11-20&to=2026-11-20", 2, ("2026-11-20", "2026-11-20")),
        ("?from=2026-11-20", 5, ("2026-11-20", None)),
        ("?to=2026-11-20", 2, (None, "2026-11-20")),
        ("?from=2026-11-20&to=2026-11-21&stock_code=005930", 4, ("2026-11-20", "2026-11-21")),
        ("?stock_code=000660", 1, ("2026-11-21", "2026-11-21")),
        ("?from=2026-11-22", 0, ("2026-11-22", None)),
    ],
)
def test_summary_of_a_period(
    api: Api, trader: Person, query: str, orders: int, days: tuple[str | None, str | None]
) -> None:
    """Both days are included, and the result agrees with the order list."""
    found = summary(api, trader, query)

    assert (found["orders"], (found["from"], found["to"])) == (orders, days)
    if "from" in query or "to" in query:
        assert len(data_of(api.get(f"/trading/orders{query}", trader))["items"]) == orders
    assert (
        sum(found["by_status"].values())
        == found["buy"]["orders"] + found["sell"]["orders"]
        == orders
    )


def test_summary_contains_only_own_orders(api: Api, trader: Person) -> None:
    assert summary(api, api.person(), "?from=2026-11-01")["orders"] == 0
    assert summary(api, trader, f"?from=2026-11-01&stock_code={SAMSUNG}")["orders"] == 4


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-21&to=2026-11-20",
        "from=yesterday",
        "to=",
        "stock_code=samsung",
        "from=0001-01-01",
    ],
)
def test_invalid_period_is_refused(api: Api, query: str) -> None:
    problem_of(api.get(f"/trading/orders/summary?{query}", api.person()), "validation-failed")


def test_statement_count_does_not_depend_on_the_number_of_orders(api: Api) -> None:
    person, counts = api.person(), []
    for more in (1, 8):
        api.harness.clock.advance(seconds=1)
        api.harness.tick(70_000)
        for _ in range(more):
            api.bought(person, 1)
        with statements_counted(api.harness.core.database.engine) as statements:
            summary(api, person)
        counts.append(len(statements))
    assert counts[0] == counts[1]
