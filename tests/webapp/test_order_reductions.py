"""Amendments that only reduce an order, or restate its price, are always possible.

The rules that refuse a new order do not apply to them, and the order keeps its priority.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.trading.orders.steps import change_settings, halt, rows, set_status
from tests.webapp.client import Api, Person, data_of, problem_of

REDUCTIONS: list[dict[str, int]] = [
    {"quantity": 4},
    {"quantity": 10},
    {"price": 60_000},
    {"price": 60_000, "quantity": 1},
]


def move_limits(api: Api, _person: Person) -> None:
    """Trade on a later day whose limits are 70,000 and 130,000 won."""
    api.harness.clock.advance(days=3)
    api.harness.tick(100_000, base=100_000)


def halt_stock(api: Api, _person: Person) -> None:
    set_status(api.harness, "HALTED")


def delist_stock(api: Api, _person: Person) -> None:
    set_status(api.harness, "DELISTED")


def halt_trading(api: Api, person: Person) -> None:
    halt(api.harness, UUID(person.id))


def halt_account(api: Api, person: Person) -> None:
    path = f"/admin/accounts/{person.id}/halt"
    data_of(api.post(path, api.administrator(), {"reason": "확인 중"}))


def lower_order_maximum(api: Api, _person: Person) -> None:
    change_settings(api.harness, order_quantity_max=3)
    api.app.extensions["stocking"] = api.harness.core


def raise_commission(api: Api, _person: Person) -> None:
    change_settings(api.harness, commission_ppm=50_000)
    api.app.extensions["stocking"] = api.harness.core


def change_price_grid(api: Api, _person: Person) -> None:
    """Store a limit that is off today's grid, as after a change of the grid."""
    update = text("UPDATE orders SET limit_price = 60050, book_price = 60050")
    api.harness.do(lambda session: session.execute(update))


SITUATIONS: list[tuple[Callable[[Api, Person], None], str | None]] = [
    (move_limits, "price-out-of-range"),
    (halt_stock, "stock-not-tradable"),
    (delist_stock, "stock-not-tradable"),
    (halt_trading, "trading-halted"),
    (halt_account, "account-halted"),
    (lower_order_maximum, "validation-failed"),
    (raise_commission, "insufficient-cash"),
]


def row_of(api: Api, order: dict[str, Any]) -> dict[str, Any]:
    (row,) = rows(api.harness, "SELECT * FROM orders WHERE id = :id", id=UUID(order["id"]).bytes)
    return dict(row)


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize(
    ("arrange", "code"), SITUATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_reduction_is_accepted_where_a_larger_order_is_refused(
    api: Api,
    arrange: Callable[[Api, Person], None],
    code: str,
    reduction: dict[str, int],
) -> None:
    person = api.person()
    api.harness.tick(70_000)
    order = api.limit_order(person, time_in_force="GTC")
    left = data_of(api.get("/balance", person))["available_cash"]
    data_of(api.post("/balance/withdraw", person, {"amount": left}), 201)
    path, before = f"/trading/orders/{order['id']}", row_of(api, order)
    arrange(api, person)

    problem_of(api.ask("PATCH", path, person, json={"quantity": 11}), code)
    amended = data_of(api.ask("PATCH", path, person, json=reduction))

    assert (amended["price"], amended["quantity"]) == (60_000, reduction.get("quantity", 10))
    after = row_of(api, order)
    assert after == before | {
        "quantity": amended["quantity"],
        "reserved_cash": amended["reserved_cash"],
    }
    assert amended["reserved_cash"] <= order["reserved_cash"]
    assert api.harness.breaches() == []


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
def test_reduction_is_accepted_without_market_data(
    sqlite_api: Api, redis_away: Callable[[], None], reduction: dict[str, int]
) -> None:
    api, person = sqlite_api, sqlite_api.person()
    api.harness.tick(70_000)
    order = api.limit_order(person)
    before = row_of(api, order)
    redis_away()

    path = f"/trading/orders/{order['id']}"
    amended = data_of(api.ask("PATCH", path, person, json=reduction))

    assert row_of(api, order) == before | {
        "quantity": amended["quantity"],
        "reserved_cash": amended["reserved_cash"],
    }


def test_order_off_the_grid_can_be_reduced(api: Api) -> None:
    person = api.person()
    order = api.limit_order(person)
    change_price_grid(api, person)
    path = f"/trading/orders/{order['id']}"

    problem_of(api.ask("PATCH", path, person, json={"quantity": 11}), "invalid-tick-size")
    assert data_of(api.ask("PATCH", path, person, json={"quantity": 9}))["price"] == 60_050
    amended = data_of(api.ask("PATCH", path, person, json={"price": 60_050, "quantity": 8}))

    assert (amended["price"], amended["quantity"]) == (60_050, 8)


def test_sale_is_reduced_while_its_stock_is_halted(api: Api) -> None:
    """The shares are sellable at once."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    sale = api.limit_order(person, "SELL", 10, 80_000)
    set_status(api.harness, "HALTED")

    data_of(api.ask("PATCH", f"/trading/orders/{sale['id']}", person, json={"quantity": 3}))

    (holding,) = data_of(api.get("/portfolio", person))["items"]
    assert (holding["reserved_quantity"], holding["sellable_quantity"]) == (3, 7)
    assert api.harness.breaches() == []


def test_reduction_stops_above_the_executed_quantity(volume_api: Api) -> None:
    """Reducing to what is executed, or below it, is refused with the least quantity allowed."""
    api, person = volume_api, volume_api.person()
    api.harness.tick(70_500)
    order = api.limit_order(person, "BUY", 10, 70_000)
    api.harness.tick(70_000, volume=4)
    api.harness.match()
    api.harness.run_all()
    set_status(api.harness, "HALTED")
    path = f"/trading/orders/{order['id']}"

    for quantity in (1, 3, 4):
        refused = problem_of(
            api.ask("PATCH", path, person, json={"quantity": quantity}), "validation-failed"
        )
        assert (refused["field"], refused["minimum"]) == ("quantity", 5)
        assert "5주 이상" in refused["detail"]
        assert "취소" in refused["detail"]
    amended = data_of(api.ask("PATCH", path, person, json={"quantity": 5}))

    assert (amended["remaining_quantity"], amended["reserved_cash"]) == (1, 70_010)


def test_found_fill_is_limited_to_the_reduced_quantity(api: Api) -> None:
    """A trade that the matcher found before the reduction fills what is left of the order."""
    person = api.person()
    api.harness.tick(70_000)
    order = api.limit_order(person)
    api.harness.run_all()
    api.harness.tick(60_000)
    assert api.harness.match().filled == 1

    data_of(api.ask("PATCH", f"/trading/orders/{order['id']}", person, json={"quantity": 4}))
    api.harness.run_all()

    filled = data_of(api.get(f"/trading/orders/{order['id']}", person))
    assert (filled["status"], filled["executed_quantity"]) == ("FILLED", 4)
    assert data_of(api.get("/balance", person))["reserved_cash"] == 0
    assert api.harness.breaches() == []
