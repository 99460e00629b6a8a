"""Schemathesis: every request, valid or not, gets a documented response.

Requests are generated from the served OpenAPI document; application, database and Redis are real.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.properties import examples
from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import Api, Person, api_on, data_of
from webapp.http.problems import MIMETYPE

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Problem codes of services that are unavailable here. The database's and internal errors are not
# among them.
AWAY = {
    "no-live-price",
    "relayer-unavailable",
    "upstream-unavailable",
    "upstream-paused",
    "payment-service-unavailable",
}
# Public routes without documented input (a webhook's body is covered by its signature).
TAKES_NOTHING = {
    "GET /api/v1/trading/realtime/daemon/health",
    "GET /api/v1/market/clock",
    "POST /api/v1/payments/portone/webhook",
}
EXAMPLES = examples(6)


@pytest.fixture
def api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API without relayer, PortOne and Toss, and without room for endless streams."""
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        harness.tick(70_000)
        yield api_on(harness)


def own_resources(api: Api, person: Person) -> dict[str, Any]:
    """Return path parameters that name resources of a user."""
    order = api.limit_order(person)
    transaction = data_of(api.post("/balance/deposit", person, {"amount": 1}), 201)
    directory = data_of(api.post("/watchlist/directories", person, {"name": "둘째"}), 201)
    item = data_of(api.post("/watchlist", person, {"stock_code": "A000660"}), 201)
    return {
        "order_id": order["id"],
        "transaction_id": transaction["id"],
        "directory_id": directory["id"],
        "item_id": item["id"],
        # Administrators halt and delist it; the orders and items are of other stocks.
        "stock_code": "A035720",
    }


def send(case: Case, headers: dict[str, str]) -> None:
    """Send one request and validate the response. A 503 must name the unavailable service."""
    answer: Response = case.call(headers=headers)
    checks = CHECKS
    if answer.status_code > 500:
        assert answer.headers["content-type"] == [MIMETYPE], answer.text
        assert answer.json()["code"] in AWAY, answer.text
        checks = [check for check in CHECKS if check is not not_a_server_error]
    case.validate_response(answer, checks=checks)


def probe(
    api: Api, operation: APIOperation[Any, Any, Any, Any], person: Person, mode: GenerationMode
) -> None:
    """Test one operation with some generated requests, the same ones each time."""
    named = {parameter.name for parameter in operation.path_parameters}
    own = own_resources(api, person) if named and mode is GenerationMode.POSITIVE else {}
    path = (
        {"path_parameters": {name: own[name] for name in named}}
        if named and named <= set(own)
        else {}
    )
    strategy = operation.as_strategy(mode, **path)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask_for_it(case: Case) -> None:
        send(case, person.headers)

    ask_for_it()


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"]
)
def test_every_response_is_as_documented(api: Api, mode: GenerationMode) -> None:
    """No internal error; status, media type, headers and body are documented."""
    document = schemathesis.openapi.from_wsgi("/openapi.json", api.app)
    asked = 0
    for found in document.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and operation.label in TAKES_NOTHING:
            continue
        # A new user each time: some operations end the session, the orders or the account.
        person = api.administrator() if "/admin/" in operation.path else api.person()
        probe(api, operation, person, mode)
        asked += 1
    assert asked > 60
