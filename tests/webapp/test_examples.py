"""Every operation of the OpenAPI document shows by an example what it takes and what it answers, and every example is what its schema says."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.webapp.client import Api
from webapp.examples import BY_NAME, BY_SCHEMA
from webapp.problems import CODES, status_of

JSON = ("application/json", "application/problem+json")


@pytest.fixture
def document(sqlite_api: Api) -> dict[str, Any]:
    content: dict[str, Any] = sqlite_api.client.get("/openapi.json").get_json()
    return content


def contents(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where, media type and content of every request body and of every answer."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            where = f"{method.upper()} {path}"
            parts = {"request": operation.get("requestBody", {})} | operation["responses"]
            for name, part in parts.items():
                shared = document["components"]["responses"].get(
                    part.get("$ref", "").rpartition("/")[2], part
                )
                for media_type, content in shared.get("content", {}).items():
                    yield f"{where} {name}", media_type, content


def as_json_schema(node: Any) -> Any:
    """A schema of OpenAPI 3.0 as one of JSON Schema: there null is a type."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = {
        name: as_json_schema(member)
        for name, member in node.items()
        if name not in ("nullable", "example")
    }
    if node.get("nullable") and "type" in node:
        schema["type"] = [node["type"], "null"]
    return schema


def examples(content: dict[str, Any]) -> list[Any]:
    """All examples of a content, by either of the two ways to give them."""
    named = [one["value"] for one in content.get("examples", {}).values()]
    return named + ([content["example"]] if "example" in content else [])


def test_everything_has_an_example_and_every_example_is_what_its_schema_says(
    document: dict[str, Any],
) -> None:
    """Requests, successes and problems alike, to the formats and patterns of their members."""
    components = as_json_schema(document["components"])
    seen = 0
    for where, media_type, content in contents(document):
        found = examples(content)
        assert found, f"{where} {media_type} has no example"
        if media_type in JSON:
            schema = {**as_json_schema(content["schema"]), "components": components}
            validator = jsonschema_rs.validator_for(schema, validate_formats=True)
            for example in found:
                assert [str(fault) for fault in validator.iter_errors(example)] == [], where
        seen += 1
    assert seen > 100


def test_the_examples_tell_one_story(document: dict[str, Any]) -> None:
    """Ten shares at 70,000 won: the sums are right, so that nobody learns a wrong formula from them."""
    content = {where: content for where, _, content in contents(document)}
    transaction = content["GET /api/v1/trading/transactions/{transaction_id} 200"]["example"][
        "data"
    ]
    assert transaction["amount"] == transaction["price"] * transaction["quantity"]
    assert transaction["cash_balance_after"] == (
        transaction["cash_balance_before"]
        - transaction["amount"]
        - transaction["commission"]
        - transaction["tax"]
    )
    balance = content["GET /api/v1/balance 200"]["example"]["data"]
    assert balance["total_assets"] == balance["cash_balance"] + balance["holdings_value"]
    holding = content["GET /api/v1/portfolio/{stock_code} 200"]["example"]["data"]
    assert holding["average_price"] == holding["cost"] // holding["quantity"]
    assert (
        holding["unrealized_profit"]
        == holding["value"] - holding["cost"] - holding["buy_commission"]
    )


def test_an_example_of_a_request_is_taken(sqlite_api: Api, document: dict[str, Any]) -> None:
    """Someone who copies the examples of the first order gets an account, a token, and an order."""
    api = sqlite_api
    api.books.tick(70_000)
    request = {
        where: content["example"]
        for where, _, content in contents(document)
        if where.endswith(" request")
    }
    assert api.post("/users", json=request["POST /api/v1/users request"]).status_code == 201
    signed_in = api.post(
        "/users/login", json=request["POST /api/v1/users/login request"]
    ).get_json()["data"]
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    for path in (
        "/trading/orders/preview",
        "/trading/orders",
        "/balance/deposit",
        "/balance/withdraw",
        "/users/me",
    ):
        method = "PATCH" if path == "/users/me" else "POST"
        body = request[f"{method} /api/v1{path} request"]
        answer = api.ask(method, path, json=body, headers=headers)
        assert answer.status_code in (200, 201), (path, answer.get_data(as_text=True))


def test_the_example_of_a_problem_is_one_of_ours(document: dict[str, Any]) -> None:
    """Its code is in the table, with the status that it has there."""
    problem = document["components"]["responses"]["DEFAULT_ERROR"]["content"][
        "application/problem+json"
    ]["example"]
    assert problem["code"] in CODES
    assert problem["status"] == status_of(problem["code"])


def test_no_shared_example_is_left_over(document: dict[str, Any]) -> None:
    """Each is of a member or a path parameter that says none itself, or nobody would notice that it is wrong."""
    schemas = document["components"]["schemas"]
    silent = {
        (schema, name)
        for schema, content in schemas.items()
        for name, member in content.get("properties", {}).items()
        if "example" not in member
    }
    assert set(BY_NAME) - {name for _, name in silent} == set()
    assert {
        key for key in BY_SCHEMA if key not in schemas and tuple(key.split(".")) not in silent
    } == set()
