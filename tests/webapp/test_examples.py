"""Examples in the OpenAPI document match their schemas, and example requests are accepted."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.webapp.client import Api
from tests.webapp.request_examples import request_example


@pytest.fixture
def document(sqlite_api: Api) -> dict[str, Any]:
    content: dict[str, Any] = sqlite_api.client.get("/openapi.json").get_json()
    return content


def as_json_schema(node: Any) -> Any:
    """Translate a schema of OpenAPI 3.0 into one of JSON Schema, where null is a type."""
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


def with_examples(node: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield every example of a document with its schema."""
    if isinstance(node, dict):
        if "example" in node:
            yield node["example"], node.get("schema", node)
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from with_examples(child)


def test_every_example_matches_its_schema(document: dict[str, Any]) -> None:
    components = as_json_schema(document["components"])
    found = list(with_examples(document))
    refused = []
    for example, node in found:
        schema = {**as_json_schema(node), "components": components}
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
        refused += [f"{node}: {fault}" for fault in validator.iter_errors(example)]
    assert refused == []
    assert len(found) > 400


@pytest.mark.parametrize(
    "path", ["trading/orders/preview", "trading/orders", "balance/deposit", "balance/withdraw"]
)
def test_example_request_is_accepted(sqlite_api: Api, document: dict[str, Any], path: str) -> None:
    sqlite_api.harness.tick(200_000, base=200_000)  # The sandbox's first price.
    content = document["paths"][f"/api/v1/{path}"]["post"]["requestBody"]["content"]
    body = request_example(document, content["application/json"]["schema"])
    answer = sqlite_api.post(f"/{path}", sqlite_api.person(), body)
    assert answer.status_code in (200, 201), answer.get_data(as_text=True)
