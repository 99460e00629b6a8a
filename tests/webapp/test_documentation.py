"""The OpenAPI document describes the API, and Swagger UI is served locally."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.webapp.client import HANGUL, Api
from tests.webapp.test_guards import PUBLIC, routes
from trading.config.settings import Settings
from webapp.http.problems import MIMETYPE
from webapp.http.rate_limits import HEADERS

CREATED = {
    ("POST", "/users"),
    ("POST", "/trading/orders"),
    ("POST", "/balance/deposit"),
    ("POST", "/balance/withdraw"),
    ("POST", "/watchlist"),
    ("POST", "/watchlist/directories"),
    ("POST", "/payments/portone/prepare"),
}
ACCEPTED = {("POST", "/payments/portone/complete"), ("POST", "/payments/{payment_id}/cancel")}
AS_CSV = {
    ("GET", "/trading/transactions"),
    ("GET", "/trading/orders"),
    ("GET", "/trading/realized-profit-loss"),
    ("GET", "/portfolio/history"),
}
STREAM = ("GET", "/trading/realtime/stream")
ASSET = re.compile(r"""(?:src|href)\s*=\s*["']([^"']+)["']""")


@pytest.fixture
def document(sqlite_api: Api) -> dict[str, Any]:
    answer = sqlite_api.client.get("/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    content: dict[str, Any] = answer.get_json()
    return content


def _operations(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield (method.upper(), path.removeprefix("/api/v1")), operation


def _resolved(document: dict[str, Any], node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def _references(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """It has version and title, and every reference resolves."""
    assert document["openapi"].startswith("3.0.")
    assert document["info"]["title"] == "StocKing"
    references = list(_references(document))
    assert len(references) > 50
    for reference in references:
        assert _resolved(document, reference)


def test_every_route_is_documented_and_nothing_else(
    sqlite_api: Api, document: dict[str, Any]
) -> None:
    documented = {
        (method, re.sub(r"\{(\w+)\}", "<>", path)): operation
        for (method, path), operation in _operations(document)
    }
    served = {(method, re.sub(r"<[^>]+>", "<>", rule)) for method, rule in routes(sqlite_api)}

    assert set(documented) == served | {STREAM}


def test_every_operation_has_an_english_and_a_korean_summary(document: dict[str, Any]) -> None:
    for route, operation in _operations(document):
        english, separator, korean = operation["summary"].partition(" · ")
        assert separator, route
        assert re.match("[A-Z][a-z]+ ?", english), route
        assert not HANGUL.search(english), route
        assert HANGUL.search(korean), route
        assert not korean.endswith("."), route


def test_descriptions_are_korean(document: dict[str, Any]) -> None:
    """Descriptions of operations, parameters and members; responses may name problem codes."""
    for route, operation in _operations(document):
        assert HANGUL.search(operation["description"]), route
        for parameter in operation.get("parameters", []):
            assert HANGUL.search(parameter.get("description", "없음")), (route, parameter)
    for name, schema in document["components"]["schemas"].items():
        if name != "PaginationMetadata":  # flask-smorest's own schema, which no route uses.
            for member, properties in schema["properties"].items():
                assert HANGUL.search(properties.get("description", "없음")), (name, member)


def test_document_names_the_required_authentication(document: dict[str, Any]) -> None:
    """A bearer token for every operation except the public ones."""
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for route, operation in _operations(document):
        assert operation.get("security", []) == ([] if route in PUBLIC else [{"bearer": []}]), route


def test_document_has_the_status_of_success(document: dict[str, Any]) -> None:
    """One 2xx per operation with the success envelope, except for the stream."""
    for route, operation in _operations(document):
        (status,) = [status for status in operation["responses"] if status.startswith("2")]
        assert status == ("201" if route in CREATED else "202" if route in ACCEPTED else "200"), (
            route
        )
        content = _resolved(document, operation["responses"][status])["content"]
        if route == STREAM:
            assert list(content) == ["text/event-stream"]
            continue
        assert list(content) == ["application/json", *(["text/csv"] if route in AS_CSV else [])], (
            route
        )
        schema = _resolved(document, content["application/json"]["schema"])
        assert set(schema["properties"]) == {"success", "message", "data"}, route


def test_document_has_failures_as_problems(document: dict[str, Any]) -> None:
    """Every failure is application/problem+json with the members of RFC 9457."""
    for route, operation in _operations(document):
        failures = {
            status: one
            for status, one in operation["responses"].items()
            if not status.startswith("2")
        }
        assert "default" in failures, route
        for status, one in failures.items():
            content = _resolved(document, one).get("content", {})
            assert list(content) == [MIMETYPE], (route, status)
            properties = _resolved(document, content[MIMETYPE]["schema"])["properties"]
            assert {"type", "title", "status", "detail", "instance", "code"} <= set(properties)


def test_swagger_ui_is_served_locally(sqlite_api: Api) -> None:
    """Scripts and styles have relative addresses that this server answers."""
    client = sqlite_api.client
    with client.get("/docs", follow_redirects=True) as page:
        assert (page.status_code, page.mimetype) == (200, "text/html")
        html = page.get_data(as_text=True)
    assets = ASSET.findall(html)
    assert any(asset.endswith(".js") for asset in assets)
    assert any(asset.endswith(".css") for asset in assets)
    for asset in assets:
        assert not asset.startswith(("http:", "https:", "//")), asset
        with client.get(urljoin("/docs/", asset)) as answer:
            assert answer.status_code == 200, asset
    assert "/openapi.json" in html


def test_document_has_the_rate_limits(document: dict[str, Any]) -> None:
    """Setting, counting key, response headers and the 429 response of each operation."""
    for (method, path), operation in _operations(document):
        if (method, path) == STREAM:
            continue  # The push gateway has limits of its own.
        limit = operation["x-rate-limit"]
        assert limit["setting"].lower() in Settings.model_fields, path
        assert limit["per"] in ("user", "session", "address")
        refusal = _resolved(document, operation["responses"]["429"])
        assert set(refusal["headers"]) == {*HEADERS, "Retry-After"}, (method, path)
        assert list(refusal["content"]) == [MIMETYPE]
        (success,) = [
            answer for status, answer in operation["responses"].items() if status.startswith("2")
        ]
        assert set(success["headers"]) >= set(HEADERS), (method, path)
    for header in (*HEADERS, "Retry-After"):
        assert document["components"]["headers"][header]["schema"]["type"] == "integer"
