"""Filters, totals and expiry of orders over HTTP."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.webapp.client import Api, Person, data_of, problem_of
from trading.account_events.push_session import CODES_MAX
from trading.exchange.time import KST


def found(api: Api, who: Person, query: str) -> list[str]:
    """Return the ids of the listed orders, and require that the total counts them."""
    page = data_of(api.get(f"/trading/orders?{query}", who))
    assert page["total"] == len(page["items"])
    return [order["id"] for order in page["items"]]


@pytest.fixture
def person(api: Api) -> Person:
    api.harness.tick(70_000)
    api.harness.tick(200_000, HYNIX)
    return api.person()


def test_orders_are_found_by_client_order_id(api: Api, person: Person) -> None:
    """The id is the user's own; another user's order with the same id is not found."""
    other = api.person()
    order = api.limit_order(person, client_order_id="my-1/u")
    api.limit_order(person, client_order_id="my-2")
    api.limit_order(person)
    api.limit_order(other, client_order_id="my-3")

    assert found(api, person, f"client_order_id={quote('my-1/u', safe='')}") == [order["id"]]
    assert found(api, person, "client_order_id=my-3") == []
    for invalid in ("", "x" * 65, "한글", "a b"):
        refused = api.get(f"/trading/orders?client_order_id={quote(invalid)}", person)
        assert "client_order_id" in problem_of(refused, "validation-failed")["errors"]["query"]


def test_taken_client_order_id_names_the_order(api: Api, person: Person) -> None:
    """An order and a preview with the same id are refused alike."""
    order = data_of(api.order(person, quantity=1, client_order_id="my-1"), 201)
    body = {"stock_code": SAMSUNG, "side": "BUY", "quantity": 1, "client_order_id": "my-1"}

    for path in ("/trading/orders", "/trading/orders/preview"):
        refused = problem_of(api.post(path, person, body), "client-order-id-taken")
        assert (refused["client_order_id"], refused["order_id"]) == ("my-1", order["id"])
        assert order["id"] in refused["detail"]
    assert found(api, person, "client_order_id=my-1") == [order["id"]]


def test_filters_accept_several_values(api: Api, person: Person) -> None:
    """Repeated parameters; a comma separates nothing."""
    filled = api.bought(person, 1)
    waiting = api.limit_order(person)
    cancelled = api.limit_order(person, code=HYNIX, price=150_000)
    api.ask("DELETE", f"/trading/orders/{cancelled['id']}", person)

    assert found(api, person, "status=FILLED&status=CANCELLED") == [cancelled["id"], filled["id"]]
    assert found(api, person, f"stock_code={SAMSUNG}&stock_code=000660") == [
        cancelled["id"],
        waiting["id"],
        filled["id"],
    ]
    assert found(api, person, "status=PENDING&stock_code=005930") == [waiting["id"]]
    for query in ("status=FILLED,CANCELLED", "stock_code=A005930,A000660", "status=&status=FILLED"):
        refused = problem_of(api.get(f"/trading/orders?{query}", person), "validation-failed")
        assert list(refused["errors"]["query"]) == [query.partition("=")[0]]
    many = "&".join(f"stock_code=A{number:06}" for number in range(CODES_MAX + 1))
    problem_of(api.get(f"/trading/orders?{many}", person), "validation-failed")


def test_orders_are_found_by_fill_and_finish_time(api: Api, person: Person) -> None:
    """Times carry an offset; intervals include their begin and exclude their end."""
    filled = api.bought(person, 1)
    waiting = api.limit_order(person)
    at = api.harness.clock().astimezone(KST)
    api.harness.clock.advance(hours=1)
    api.ask("DELETE", f"/trading/orders/{waiting['id']}", person)
    later = at + timedelta(hours=1)

    def query(**times: datetime) -> list[str]:
        return found(
            api,
            person,
            "&".join(f"{name}={quote(time.isoformat())}" for name, time in times.items()),
        )

    assert query(filled_from=at) == query(filled_from=at, filled_to=later) == [filled["id"]]
    assert query(filled_to=at) == []
    assert query(finished_from=at) == [waiting["id"], filled["id"]]
    assert query(finished_from=at, finished_to=later) == [filled["id"]]
    assert query(finished_from=later) == [waiting["id"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("filled_from=2026-11-20", "filled_from"),
        ("finished_to=2026-11-20T10:00:00", "finished_to"),
        ("finished_from=yesterday", "finished_from"),
        ("filled_from=2026-11-20T10:00:00Z&filled_to=2026-11-20T10:00:00Z", "filled_to"),
        ("finished_from=2026-11-20T10:00:00Z&finished_to=2026-11-20T18:00:00%2B09:00",
         "finished_to"),
        ("from=2026-11-20&to=2026-11-19", "to"),
    ],
)  # fmt: skip
def test_invalid_interval_is_refused(api: Api, person: Person, query: str, field: str) -> None:
    refused = problem_of(api.get(f"/trading/orders?{query}", person), "validation-failed")

    assert list(refused["errors"]["query"]) == [field]


@pytest.mark.parametrize(
    ("more", "expires"),
    [
        ({"order_type": "LIMIT", "price": 60_000}, True),
        ({"order_type": "LIMIT", "price": 60_000, "time_in_force": "GTC"}, False),
        ({"order_type": "LIMIT", "price": 60_000, "time_in_force": "IOC"}, False),
        ({"order_type": "LIMIT", "price": 60_000, "time_in_force": "FOK"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_order_states_when_it_expires(krx_api: Api, more: dict[str, Any], *, expires: bool) -> None:
    """The same in the placed answer, the list, the detail and the explanation while it is open."""
    api, person = krx_api, krx_api.person()
    api.harness.tick(70_000)

    placed = data_of(api.order(person, quantity=1, **more), 201)

    path = f"/trading/orders/{placed['id']}"
    explained = data_of(api.get(f"{path}/explain", person))
    assert placed["expires_at"] == explained["waiting"]["expires_at"]
    assert data_of(api.get(path, person)) == placed
    assert data_of(api.get("/trading/orders", person))["items"] == [placed]
    # The closing auction of the harness's day.
    end = "2026-11-20T15:30" if expires else None
    at = placed["expires_at"]
    assert (at and datetime.fromisoformat(at).astimezone(KST).isoformat()[:16]) == end
    cancelled = data_of(api.ask("DELETE", path, person))
    assert cancelled["expires_at"] is None
