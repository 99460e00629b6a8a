"""CORS: only listed origins may read responses, and preflight requests are not counted."""

from collections.abc import Iterator

import pytest

from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import Api, api_on, data_of
from webapp.http.cross_origin import ANSWER_HEADERS, REQUEST_HEADERS

APP = "https://app.example.com"
V6 = "http://[::1]:3000"
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture
def api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    listed = {
        "api_allowed_origins": f"{APP}, {V6}",
        "rate_limits": True,
        "rate_limit_strangers": "2 per hour",
    }
    with opened(settings_for(migrated_sqlite, valkey_url, **listed)) as harness:
        yield api_on(harness)


@pytest.mark.parametrize("origin", [APP, V6])
def test_listed_origin_reads_responses(api: Api, origin: str) -> None:
    """Successes, refusals and exposed headers; credentials are never allowed."""
    person = api.person()

    for path, status in (("/users/me", 200), ("/trading/orders/none", 404)):
        answer = api.get(path, person, headers={"Origin": origin})
        assert answer.status_code == status
        assert answer.headers[ALLOW] == origin
        assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == set(
            ANSWER_HEADERS
        )
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_exposed_headers_cover_the_contract(api: Api) -> None:
    assert {
        "Location",
        "Retry-After",
        "X-Request-ID",
        "Idempotency-Replayed",
        "X-RateLimit-Remaining",
    } <= set(ANSWER_HEADERS)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://app.example.com.evil.example",
        "https://evil.example/https://app.example.com",
        "https://appXexample.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://sub.app.example.com",
        f"{APP}\n",
        "http://[::1]:30000",
        "*",
    ],
)
def test_other_origins_read_nothing(api: Api, origin: str) -> None:
    """Similar names, other schemes and ports, and the origin `null`."""
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": origin.strip(), "Access-Control-Request-Method": "GET"}
        if origin == origin.strip():
            assert ALLOW not in api.ask(method, "/market/clock", headers=headers).headers


def test_preflight_needs_no_token_and_is_not_counted(api: Api) -> None:
    """It lists methods and headers and is valid for ten minutes."""
    person = api.person()
    question = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ", ".join([*REQUEST_HEADERS, "X-Other"]).lower(),
    }

    for _ in range(5):
        answer = api.ask("OPTIONS", "/trading/orders", headers=question)
        assert answer.status_code == 200
    assert answer.headers[ALLOW] == APP
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(
        answer.headers["Access-Control-Allow-Methods"].split(", ")
    )
    assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) == {
        name.lower() for name in REQUEST_HEADERS
    }
    data_of(api.get("/market/clock"))
    assert data_of(api.get("/users/me", person))["id"] == person.id


def test_request_without_origin_gets_no_cors_headers(api: Api) -> None:
    answer = api.get("/market/clock")

    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


def test_no_origin_is_allowed_by_default(sqlite_api: Api) -> None:
    for method in ("GET", "OPTIONS"):
        answer = sqlite_api.ask(method, "/market/clock", headers={"Origin": APP})
        assert ALLOW not in answer.headers


def test_pages_outside_the_api_have_no_cors_headers(api: Api) -> None:
    for path in ("/healthz", "/openapi.json", "/docs/problems"):
        assert ALLOW not in api.client.get(path, headers={"Origin": APP}).headers
