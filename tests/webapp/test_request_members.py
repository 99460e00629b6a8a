"""Unexpected or ambiguous request members on every route of the OpenAPI document."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from tests.support.trading_harness import opened, settings_for
from tests.trading.orders.steps import everything
from tests.webapp.client import PREFIX, Api, Person, api_on, data_of, problem_of
from tests.webapp.request_examples import request_example

# Privileged members; each is omitted where a route documents it.
COVETED: dict[str, Any] = {
    "role": "ADMIN",
    "user_id": "00000000-0000-0000-0000-000000000000",
    "cash_balance": 10**12,
    "available_cash": 10**12,
    "id": "00000000-0000-0000-0000-000000000000",
    "status": "FILLED",
    "is_admin": True,
    "created_at": "2020-01-01T00:00:00Z",
    "deleted_at": None,
    "executed_quantity": 1,
    "credited": True,
    "__proto__": {"role": "ADMIN"},
}
# JSON texts that are no integer, although lenient parsers accept some of them.
NO_INTEGERS = (
    "1.0",
    "1e3",
    "1E0",
    '"1"',
    "true",
    "[1]",
    '{"value": 1}',
    "1" * 400,
    "-" + "9" * 400,
)


@pytest.fixture(scope="module")
def target(migrated_sqlite: str, module_valkey_url: str) -> Iterator[tuple[Api, Person, Person]]:
    """The API with a user and an administrator, for the whole module."""
    with opened(settings_for(migrated_sqlite, module_valkey_url)) as harness:
        api = api_on(harness)
        yield api, api.person(), api.administrator()


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def writable(api: Api) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Return method, path, example and members of every operation with a JSON body."""
    document = api.client.get("/openapi.json").get_json()
    found = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = (
                operation.get("requestBody", {}).get("content", {})
                if method != "parameters"
                else {}
            )
            if "application/json" in content:
                schema = _resolved(document, content["application/json"]["schema"])
                asked = re.sub(r"\{\w+\}", str(uuid4()), path).removeprefix(PREFIX)
                found.append(
                    (
                        method.upper(),
                        asked,
                        request_example(document, content["application/json"]["schema"]),
                        schema["properties"],
                    )
                )
    assert len(found) >= 15
    return found


def send(api: Api, method: str, path: str, who: Person, text: str, **headers: str) -> TestResponse:
    return api.ask(
        method,
        path,
        who,
        data=text.encode(),
        headers={"Content-Type": "application/json", **headers},
    )


def test_unknown_members_are_refused(target: tuple[Api, Person, Person]) -> None:
    """By name, on every route with a body, and nothing is changed."""
    api, person, administrator = target
    for method, path, example, members in writable(api):
        who = administrator if path.startswith("/admin/") else person
        before = everything(api.harness)
        for name, value in COVETED.items():
            if name in members:
                continue
            refused = problem_of(
                send(api, method, path, who, json.dumps({**example, name: value})),
                "validation-failed",
            )
            assert list(refused["errors"]["json"]) == [name], (method, path)
        assert everything(api.harness) == before, (method, path)


def test_integers_are_strict(target: tuple[Api, Person, Person]) -> None:
    """Fractions, exponents, strings, booleans and out-of-range values are refused."""
    api, person, administrator = target
    seen = 0
    for method, path, example, members in writable(api):
        who = administrator if path.startswith("/admin/") else person
        for name, member in members.items():
            if member.get("type") != "integer":
                continue
            for text in NO_INTEGERS:
                rest = json.dumps({key: value for key, value in example.items() if key != name})[
                    1:-1
                ]
                body = "{" + f'"{name}": {text}' + (f", {rest}" if rest else "") + "}"
                refused = problem_of(send(api, method, path, who, body), "validation-failed")
                assert name in refused["errors"]["json"], (method, path, text)
            seen += 1
    assert seen >= 8


def test_duplicate_members_are_refused(target: tuple[Api, Person, Person]) -> None:
    """Different parsers could read different values."""
    api, person, administrator = target
    for method, path, example, _ in writable(api):
        who = administrator if path.startswith("/admin/") else person
        name, value = next(iter(example.items()))
        body = json.dumps(example)[:-1] + f', "{name}": {json.dumps(value)}' + "}"
        problem_of(send(api, method, path, who, body), "malformed-request")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
def test_compressed_bodies_are_refused(target: tuple[Api, Person, Person], encoding: str) -> None:
    api, person, _ = target
    for body in (gzip.compress(b'{"amount": 1}'), b'{"amount": 1}'):
        answer = api.ask(
            "POST",
            "/balance/deposit",
            person,
            data=body,
            headers={"Content-Type": "application/json", "Content-Encoding": encoding},
        )
        problem_of(answer, "unsupported-media-type")


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_method_overrides_are_ignored(target: tuple[Api, Person, Person], name: str) -> None:
    """In headers; one in the query is refused like any unknown parameter."""
    api, person, _ = target
    before = everything(api.harness)

    data_of(api.get("/users/me", person, headers={name: "DELETE"}))
    data_of(api.get("/trading/orders", person, headers={name: "DELETE"}))
    problem_of(api.get("/users/me?_method=DELETE", person), "unknown-query-parameter")

    assert everything(api.harness) == before
    data_of(api.get("/users/me", person))


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&limit=1",
        "limit=1&limit=100",
        "limit=0&limit=1",
        "side=BUY&side=SELL",
        "client_order_id=a&client_order_id=a",
    ],
)
def test_repeated_filter_is_refused(target: tuple[Api, Person, Person], query: str) -> None:
    api, person, _ = target

    refused = problem_of(api.get(f"/trading/orders?{query}", person), "validation-failed")

    assert list(refused["errors"]["query"]) == [query.partition("=")[0]]


def test_list_parameter_is_repeated(target: tuple[Api, Person, Person]) -> None:
    api, person, _ = target

    quotes = data_of(
        api.get("/trading/realtime/stocks/multiple?stock_codes=A005930&stock_codes=A000660", person)
    )

    assert quotes["unknown"] == ["A005930", "A000660"]
