"""Input that a route does not declare is refused on every route, and nothing is changed."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from tests.support.trading_harness import opened, settings_for
from tests.trading.orders.steps import everything
from tests.webapp.client import Api, Person, api_on, bearer, data_of, problem_of
from tests.webapp.test_guards import routes

WEBHOOK = ("POST", "/payments/portone/webhook")
RAW_BODIES = (
    (b"quantity=1", "application/x-www-form-urlencoded"),
    (b'{"quantity":1}', "text/plain"),
    (b'{"quantity":', "application/json"),
    (b"[" * 60_000, "application/json"),
)
BODIES: tuple[Any, ...] = ({"quantity": 1}, {"": None}, [], None, 0, "quantity")


@pytest.fixture(scope="module")
def target(migrated_sqlite: str, module_valkey_url: str) -> Iterator[tuple[Api, Person, Person]]:
    """The API with a user and an administrator, for the whole module."""
    with opened(settings_for(migrated_sqlite, module_valkey_url)) as harness:
        api = api_on(harness)
        yield api, api.person(), api.administrator()


def _ask(target: tuple[Api, Person, Person], method: str, path: str, **more: Any) -> TestResponse:
    """Send a request as somebody whom the route accepts."""
    api, person, administrator = target
    if path.startswith("/users/refresh"):
        headers = {**bearer(person.refresh_token), **more.pop("headers", {})}
        return api.ask(method, path, headers=headers, **more)
    return api.ask(method, path, administrator if path.startswith("/admin/") else person, **more)


def _operations(api: Api) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and OpenAPI operation of every route that the API serves."""
    document = api.client.get("/openapi.json").get_json()
    for method, rule in routes(api):
        if (method, rule) == WEBHOOK:
            continue  # Its sender cannot be asked to change a request.
        documented = document["paths"]["/api/v1" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)]
        path = re.sub(r"<uuid:\w+>", str(uuid4()), rule)
        yield method, re.sub(r"<\w+>", "A005930", path), documented[method.lower()]


def _parameters(operation: dict[str, Any]) -> list[str]:
    return [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]


def test_unknown_query_parameter_is_refused_on_every_route(
    target: tuple[Api, Person, Person],
) -> None:
    """The refusal names it and the parameters that the OpenAPI document lists."""
    api, _, _ = target
    before = everything(api.harness)
    asked = 0
    for method, path, operation in _operations(api):
        for query in ("stock_cod=A005930", "Limit=1", "limit%20=1", "=1"):
            refused = problem_of(_ask(target, method, f"{path}?{query}"), "unknown-query-parameter")
            assert refused["parameters"] == [unquote(query.partition("=")[0])]
            assert refused["known"] == _parameters(operation), (method, path)
        asked += 1
    assert asked > 60
    assert everything(api.harness) == before


def test_unknown_parameter_is_refused_beside_known_ones(target: tuple[Api, Person, Person]) -> None:
    api, person, _ = target

    refused = problem_of(
        api.get("/trading/orders?limit=1&stauts=FILLED&page=2", person), "unknown-query-parameter"
    )

    assert refused["parameters"] == ["page", "stauts"]
    assert {"status", "limit", "cursor"} <= set(refused["known"])
    assert "page, stauts" in refused["detail"]
    assert "stock_code" in refused["detail"]


def test_unknown_parameter_is_named_before_the_missing_one(
    target: tuple[Api, Person, Person],
) -> None:
    """A misspelled name is reported as such, not as a missing parameter."""
    api, person, _ = target

    refused = api.get("/trading/realtime/stocks/multiple?stock_code=A005930", person)

    assert problem_of(refused, "unknown-query-parameter")["known"] == ["stock_codes"]


def test_refusal_names_a_bounded_number_of_parameters(
    target: tuple[Api, Person, Person],
) -> None:
    api, person, _ = target
    query = "&".join(f"{number}{'x' * 100}=1" for number in range(30))

    refused = problem_of(api.get(f"/balance?{query}", person), "unknown-query-parameter")

    assert len(refused["parameters"]) == 10
    assert {len(name) for name in refused["parameters"]} == {64}


def test_body_is_refused_on_every_route_that_declares_none(
    target: tuple[Api, Person, Person],
) -> None:
    api, _, _ = target
    before = everything(api.harness)
    asked = 0
    for method, path, operation in _operations(api):
        if "requestBody" in operation:
            continue
        required = "&".join(
            f"{each['name']}=A005930"
            for each in operation.get("parameters", [])
            if each["in"] == "query" and each.get("required")
        )
        for body in BODIES:
            problem_of(_ask(target, method, f"{path}?{required}", json=body), "unexpected-body")
        for raw, media_type in RAW_BODIES:
            more = {"data": raw, "headers": {"Content-Type": media_type}}
            problem_of(_ask(target, method, f"{path}?{required}", **more), "unexpected-body")
        if method in ("GET", "DELETE"):
            problem_of(_ask(target, method, f"{path}?{required}", json={}), "unexpected-body")
        asked += 1
    assert asked > 40
    assert everything(api.harness) == before


def test_cancellation_with_a_quantity_cancels_nothing(target: tuple[Api, Person, Person]) -> None:
    api, person, _ = target
    order = api.limit_order(person, quantity=10)
    path = f"/trading/orders/{order['id']}"

    problem_of(api.ask("DELETE", path, person, json={"quantity": 1}), "unexpected-body")

    assert data_of(api.get(path, person))["status"] == "PENDING"
    problem_of(api.ask("DELETE", "/trading/orders", person, json={}), "unexpected-body")
    assert data_of(api.get(path, person))["status"] == "PENDING"
    assert data_of(api.ask("DELETE", path, person))["status"] == "CANCELLED"


def test_empty_object_is_accepted_where_no_body_is_read(
    target: tuple[Api, Person, Person],
) -> None:
    """Many clients send one with every POST."""
    api, _, _ = target

    data_of(api.post("/users/logout", api.person(), {}))


def test_pages_outside_the_api_accept_any_query(target: tuple[Api, Person, Person]) -> None:
    """Load balancers and scrapers add parameters of their own."""
    api, _, _ = target

    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/", "/docs/problems"):
        with api.client.get(f"{path}?probe=1") as answer:
            assert answer.status_code == 200, path
