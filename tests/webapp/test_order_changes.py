"""Amending and cancelling orders: responses and reservations, in won and shares."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.trading_harness import HYNIX
from tests.webapp.client import Api, Person, data_of, problem_of

START = 10_000_000


def balance(api: Api, who: Person) -> tuple[int, int]:
    """Return reserved and available cash in won."""
    cash = data_of(api.get("/balance", who))
    return cash["reserved_cash"], cash["available_cash"]


def sellable(api: Api, who: Person) -> tuple[int, int]:
    """Return reserved and sellable shares."""
    (holding,) = data_of(api.get("/portfolio", who))["items"]
    return holding["reserved_quantity"], holding["sellable_quantity"]


@pytest.fixture
def person(api: Api) -> Person:
    """A user in a market whose last trade was at 70,000 won."""
    api.harness.tick(70_000)
    return api.person()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"price": 61_000}, (61_000, 10, 610_091)),
        ({"price": 59_000}, (59_000, 10, 590_088)),
        ({"quantity": 12}, (60_000, 12, 720_108)),
        ({"quantity": 1}, (60_000, 1, 60_009)),
        ({"price": 61_000, "quantity": 3}, (61_000, 3, 183_027)),
        ({"price": 60_000, "quantity": 10}, (60_000, 10, 600_090)),
    ],
    ids=str,
)
def test_amended_buy_reserves_its_new_cost(
    api: Api, person: Person, change: dict[str, int], expected: tuple[int, int, int]
) -> None:
    order = api.limit_order(person)

    amended = data_of(api.ask("PATCH", f"/trading/orders/{order['id']}", person, json=change))

    assert (amended["price"], amended["quantity"], amended["reserved_cash"]) == expected
    assert (amended["id"], amended["status"], amended["finished_at"]) == (
        order["id"],
        "PENDING",
        None,
    )
    assert data_of(api.get(f"/trading/orders/{order['id']}", person)) == amended
    assert balance(api, person) == (expected[2], START - expected[2])
    assert api.harness.breaches() == []


def test_amended_sale_reserves_its_new_quantity(api: Api, person: Person) -> None:
    """One share more than held is refused with facts."""
    api.bought(person, 10)
    order = api.limit_order(person, "SELL", 4, 80_000)
    path = f"/trading/orders/{order['id']}"

    data_of(api.ask("PATCH", path, person, json={"quantity": 10}))
    assert sellable(api, person) == (10, 0)
    refused = problem_of(
        api.ask("PATCH", path, person, json={"quantity": 11}), "insufficient-quantity"
    )
    assert (refused["needed"], refused["held"], refused["reserved"]) == (1, 10, 10)
    assert refused["reserved_by"] == [order["id"]]
    data_of(api.ask("PATCH", path, person, json={"quantity": 3, "price": 81_000}))
    assert sellable(api, person) == (3, 7)
    assert api.harness.breaches() == []


def test_order_amended_to_be_marketable_fills(api: Api, person: Person) -> None:
    """At the last trade, like a new order."""
    order = api.limit_order(person)
    api.harness.run_all()

    data_of(api.ask("PATCH", f"/trading/orders/{order['id']}", person, json={"price": 71_000}))
    api.harness.run_all()

    filled = data_of(api.get(f"/trading/orders/{order['id']}", person))
    assert (filled["status"], filled["executed_amount"]) == ("FILLED", 700_000)
    assert balance(api, person) == (0, START - 700_105)


def test_invalid_amendment_is_refused(api: Api, person: Person) -> None:
    """Like a new order; the order stays unchanged."""
    order = api.limit_order(person)
    path = f"/trading/orders/{order['id']}"

    short = problem_of(
        api.ask("PATCH", path, person, json={"quantity": 1_000}), "insufficient-cash"
    )
    assert (
        problem_of(api.ask("PATCH", path, person, json={"price": 60_050}), "invalid-tick-size")[
            "tick_size"
        ]
        == 100
    )
    api.harness.tick(70_000, base=70_000)
    problem_of(api.ask("PATCH", path, person, json={"price": 10_000}), "price-out-of-range")

    assert data_of(api.get(f"/trading/orders/{order['id']}", person)) == order
    assert (short["needed"], short["available"]) == (59_408_910, START - 600_090)
    amended = data_of(api.ask("PATCH", path, person, json={"quantity": short["largest_quantity"]}))
    assert amended["quantity"] == 166
    problem_of(api.ask("PATCH", path, person, json={"quantity": 167}), "insufficient-cash")


def test_amendment_below_the_executed_quantity_is_refused(volume_api: Api) -> None:
    """With the least allowed quantity as fact; the rest may be given up."""
    api, person = volume_api, volume_api.person()
    api.harness.tick(70_000)
    order = api.limit_order(person, "BUY", 10, 70_000)
    api.harness.tick(70_000, volume=4)
    api.harness.match()
    api.harness.run_all()
    path = f"/trading/orders/{order['id']}"

    for quantity in (1, 4):
        refused = problem_of(
            api.ask("PATCH", path, person, json={"quantity": quantity}), "validation-failed"
        )
        assert (refused["field"], refused["minimum"]) == ("quantity", 5)
    amended = data_of(api.ask("PATCH", path, person, json={"quantity": 5}))
    assert (amended["status"], amended["remaining_quantity"]) == ("PARTIALLY_FILLED", 1)
    assert amended["reserved_cash"] == 70_010
    cancelled = data_of(api.ask("DELETE", path, person))
    assert (cancelled["status"], cancelled["executed_quantity"], cancelled["reserved_cash"]) == (
        "CANCELLED",
        4,
        0,
    )
    assert balance(api, person) == (0, START - 280_042)
    assert api.harness.breaches() == []


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ({}, ("MARKET", "DAY")),
        ({"order_type": "LIMIT", "price": 60_000, "time_in_force": "IOC"}, ("LIMIT", "IOC")),
        ({"order_type": "LIMIT", "price": 60_000, "time_in_force": "FOK"}, ("LIMIT", "FOK")),
    ],
    ids=str,
)
def test_only_resting_limit_orders_can_be_amended(
    api: Api, person: Person, kind: dict[str, Any], facts: tuple[str, str]
) -> None:
    """Others can still be cancelled."""
    order = data_of(api.order(person, "BUY", 1, **kind), 201)
    path = f"/trading/orders/{order['id']}"

    refused = problem_of(
        api.ask("PATCH", path, person, json={"quantity": 2}), "order-not-amendable"
    )

    assert (refused["order_type"], refused["time_in_force"]) == facts
    assert data_of(api.ask("DELETE", path, person))["status"] == "CANCELLED"
    assert balance(api, person) == (0, START)


def test_cancelled_order_releases_its_reservation(api: Api, person: Person) -> None:
    api.bought(person, 10)
    before = balance(api, person)
    buy, sale = api.limit_order(person), api.limit_order(person, "SELL", 10, 80_000)

    for order in (buy, sale):
        cancelled = data_of(api.ask("DELETE", f"/trading/orders/{order['id']}", person))
        assert (cancelled["id"], cancelled["status"]) == (order["id"], "CANCELLED")
        assert (cancelled["reason"], cancelled["reserved_cash"]) == ("cancelled-by-user", 0)
        assert cancelled["finished_at"] is not None

    assert balance(api, person) == before
    assert sellable(api, person) == (0, 10)
    assert api.harness.breaches() == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_closed_order_cannot_be_changed(api: Api, person: Person, method: str) -> None:
    """The 409 has its end and executed quantity."""
    body = {"json": {"quantity": 5}} if method == "PATCH" else {}
    filled, cancelled = api.bought(person, 3), api.limit_order(person)
    api.ask("DELETE", f"/trading/orders/{cancelled['id']}", person)

    for order, expected_end in (
        (filled, ("FILLED", None, 3)),
        (cancelled, ("CANCELLED", "cancelled-by-user", 0)),
    ):
        refused = problem_of(
            api.ask(method, f"/trading/orders/{order['id']}", person, **body), "order-not-open"
        )
        assert (
            refused["order_status"],
            refused["reason"],
            refused["executed_quantity"],
        ) == expected_end
    problem_of(api.ask(method, f"/trading/orders/{uuid4()}", person, **body), "order-not-found")


def test_all_open_orders_are_cancelled(api: Api, person: Person) -> None:
    """Only own ones; a second request has nothing to do."""
    other = api.person()
    api.harness.tick(200_000, HYNIX)
    filled = api.bought(person, 10)
    mine = [
        api.limit_order(person),
        api.limit_order(person, code=HYNIX, price=150_000, quantity=2),
        api.limit_order(person, "SELL", 4, 80_000),
    ]
    other_order = api.limit_order(other)

    done = data_of(api.ask("DELETE", "/trading/orders", person))

    assert done == {"cancelled": 3, "order_ids": [order["id"] for order in mine]}
    found = {
        order["id"]: order["status"]
        for order in data_of(api.get("/trading/orders", person))["items"]
    }
    assert found == {filled["id"]: "FILLED"} | {order["id"]: "CANCELLED" for order in mine}
    assert data_of(api.get(f"/trading/orders/{other_order['id']}", other))["status"] == "PENDING"
    assert balance(api, person)[0] == 0
    assert data_of(api.ask("DELETE", "/trading/orders", person)) == {
        "cancelled": 0,
        "order_ids": [],
    }
    assert api.harness.breaches() == []


def test_cancelling_all_refuses_filters(api: Api, person: Person) -> None:
    order = api.limit_order(person)

    refused = problem_of(
        api.ask("DELETE", "/trading/orders?stock_code=A000660", person), "unknown-query-parameter"
    )

    assert (refused["parameters"], refused["known"]) == (["stock_code"], [])
    assert data_of(api.get(f"/trading/orders/{order['id']}", person))["status"] == "PENDING"


def test_orders_are_filtered_by_open(api: Api, person: Person) -> None:
    filled, waiting = api.bought(person, 1), api.limit_order(person)

    found = {
        word: data_of(api.get(f"/trading/orders?open={word}", person))["items"]
        for word in ("true", "false")
    }

    assert {word: [order["id"] for order in items] for word, items in found.items()} == {
        "true": [waiting["id"]],
        "false": [filled["id"]],
    }
    assert data_of(api.get("/trading/orders?open=true&status=FILLED", person))["items"] == []
    problem_of(api.get("/trading/orders?open=perhaps", person), "validation-failed")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"price": None},
        {"quantity": None},
        {"quantity": 1, "side": "SELL"},
        {"limit_price": 60_000},
    ],
    ids=str,
)
def test_empty_or_invalid_amendment_body_is_refused(
    api: Api, person: Person, body: dict[str, Any]
) -> None:
    order = api.limit_order(person)

    problem_of(
        api.ask("PATCH", f"/trading/orders/{order['id']}", person, json=body), "validation-failed"
    )

    assert data_of(api.get(f"/trading/orders/{order['id']}", person)) == order
