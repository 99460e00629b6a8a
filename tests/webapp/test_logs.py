"""Request logs contain ids, figures and codes, and never a secret."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from tests.support.http_server import answer as logged_by_a_server
from tests.support.http_server import serving
from tests.support.log_lines import FORMATS, HOSTILE, events, json_lines, logs_of
from tests.support.trading_harness import SAMSUNG, migrate, opened, settings_for
from tests.webapp.client import PASSWORD, Api, api_on, bearer, data_of, problem_of
from trading.config.settings import Settings
from trading.redis import keys
from webapp.http.request_context import HEADER


@pytest.fixture(params=FORMATS)
def log_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def logged_settings(tmp_path: Path, valkey_url: str, log_format: str) -> Settings:
    """Settings with a database of its own and production logs in each format."""
    uri = f"sqlite:///{tmp_path}/logged.db"
    migrate(uri)
    return settings_for(uri, valkey_url, log_format=log_format, log_level="DEBUG")


@pytest.fixture
def log_output(logged_settings: Settings) -> Iterator[io.StringIO]:
    """Capture what the process writes to standard error."""
    with logs_of(logged_settings) as text:
        yield text


@pytest.fixture
def logging_api(logged_settings: Settings, log_output: io.StringIO) -> Iterator[Api]:
    with opened(logged_settings) as harness:
        yield api_on(harness)


def test_no_secret_is_returned_or_logged(logging_api: Api, log_output: io.StringIO) -> None:
    """During the life of an account, with internal errors: no password, hash or token leaks."""
    api = logging_api
    person = api.person()
    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))
    api.post("/users/refresh", headers=bearer(person.refresh_token))
    person = api.signed_in(person.email)
    api.login(person.email, "a wrong password")
    change = {"current_password": PASSWORD, "new_password": "another good one"}
    api.post("/users/me/password", person, change, headers={"Idempotency-Key": "key"})
    api.post("/users/me/password", person, change | {"extra": 1})
    api.get("/users/me", person)
    api.get("/users/me", headers=bearer(person.access_token + "x"))
    tokens_given = [
        answer for answer in api.answers if answer.request.path.endswith(("/login", "/refresh"))
    ]
    # An internal error: the failing statement has the hash as parameter, and the frames the
    # password.
    with api.harness.core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO gone"))
    for headers in ({}, {"Idempotency-Key": "other"}):
        body = {"email": "x@example.com", "password": PASSWORD, "name": "이름"}
        problem_of(api.post("/users", None, body, headers=headers), "internal-error")

    logs = log_output.getvalue()
    assert "request_failed" in logs
    assert "no such table" in logs
    secrets = [PASSWORD, "a wrong password", "another good one", "$argon2"]
    tokens = [
        person.access_token,
        person.refresh_token,
        renewed["access_token"],
        renewed["refresh_token"],
    ]
    for secret in secrets + tokens + [token.rsplit(".", 1)[1] for token in tokens]:
        assert secret not in logs
    for answer in api.answers:
        content = answer.get_data(as_text=True) + str(answer.headers)
        assert not [secret for secret in secrets if secret in content], answer.request.path
        if answer not in tokens_given:
            assert not [token for token in tokens if token in content], answer.request.path


def test_internal_error_reveals_nothing_to_the_client(logging_api: Api) -> None:
    """No exception text is returned; the request id leads to the log."""
    with logging_api.harness.core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO gone"))

    failed = problem_of(logging_api.register(), "internal-error")

    assert "users" not in failed["detail"]
    assert "errors" not in failed


@pytest.mark.parametrize("log_format", ["json"], indirect=True)
def test_every_request_is_logged_with_its_id(logging_api: Api, log_output: io.StringIO) -> None:
    """One line with method, rule, status, duration and request id."""
    log_output.seek(0)
    log_output.truncate()

    answer = logging_api.get("/portfolio/A005930", headers={HEADER: "client-chosen-1"})

    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["rule"], line["status"]) == (
        "GET",
        "/api/v1/portfolio/<stock_code>",
        401,
    )
    assert line["request_id"] == answer.headers[HEADER] == "client-chosen-1"
    assert line["duration_ms"] >= 0
    assert line["level"] == "info"


def test_users_cannot_inject_log_lines(logging_api: Api, log_output: io.StringIO) -> None:
    person = logging_api.person()
    log_output.seek(0)
    log_output.truncate()

    logging_api.get("/trading/realtime/stock/%0aforged", person)

    assert not [
        line for line in log_output.getvalue().splitlines() if line.lstrip().startswith("forged")
    ]


@pytest.mark.parametrize("given", ["abcdefgh", "A-b_c.1234", "x" * 64])
def test_valid_request_id_is_kept(sqlite_api: Api, given: str) -> None:
    answer = sqlite_api.get("/users/me", headers={HEADER: given})

    assert answer.headers[HEADER] == given
    assert problem_of(answer, "unauthorized")["request_id"] == given


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "with space", "line\tbreak", "ümlaut-name", "semi;colon"]
)
def test_invalid_request_id_is_replaced(sqlite_api: Api, given: str) -> None:
    answer = sqlite_api.get("/users/me", headers={HEADER: given})

    assert answer.headers[HEADER] != given
    assert len(answer.headers[HEADER]) == 32


@pytest.mark.parametrize(
    "path", ["/healthz", "/nothing", "/openapi.json", "/docs/", "/api/v1/balance"]
)
def test_every_response_has_a_request_id(sqlite_api: Api, path: str) -> None:
    """Successes, refusals, unknown paths and pages; ids are unique."""
    ids = set()
    for _ in range(2):
        with sqlite_api.client.get(path) as answer:
            ids.add(answer.headers[HEADER])

    assert len(ids) == 2


@pytest.mark.parametrize("log_format", ["json"], indirect=True)
def test_order_requests_log_order_user_and_request_ids(
    logging_api: Api, log_output: io.StringIO
) -> None:
    api = logging_api
    api.harness.tick(70_000)
    person = api.person()
    key = {"Idempotency-Key": "once", HEADER: "placed-it-1"}
    order = data_of(api.order(person, headers=key), 201)
    again = api.order(person, headers=key | {HEADER: "placed-it-2"})
    refused = api.order(person, "SELL", 5, headers={HEADER: "too-many-1"})
    api.get(f"/trading/orders/{order['id']}", person, headers={HEADER: "looked-at-1"})

    lines = json_lines(log_output.getvalue())

    def of(request_id: str) -> list[dict[str, object]]:
        return [line for line in lines if line.get("request_id") == request_id]

    accepted, request = of("placed-it-1")
    assert (accepted["event"], accepted["level"], accepted["order_id"]) == (
        "order_accepted",
        "info",
        order["id"],
    )
    assert (request["event"], request["status"], request["order_id"]) == (
        "request",
        201,
        order["id"],
    )
    repeated, request = of("placed-it-2")
    assert again.headers["Location"] == repeated["location"]
    assert (repeated["event"], request["status"]) == ("idempotent_replay", 201)
    too_many, request = of("too-many-1")
    assert (too_many["event"], too_many["level"], too_many["code"]) == (
        "request_refused",
        "info",
        "insufficient-quantity",
    )
    assert refused.status_code == request["status"] == 409
    (viewed,) = of("looked-at-1")
    assert viewed["order_id"] == order["id"]
    assert {line["user_id"] for line in [*of("placed-it-1"), repeated, too_many, viewed]} == {
        person.id
    }


@pytest.mark.parametrize("log_format", ["json"], indirect=True)
def test_user_id_is_logged_once_known(logging_api: Api, log_output: io.StringIO) -> None:
    """After registration and login; requests of others on the same thread do not inherit it."""
    api = logging_api
    person = api.person()
    api.get("/users/me", headers=bearer("nonsense"))
    api.login(person.email, "a wrong password")

    found = [line for line in json_lines(log_output.getvalue()) if line["event"] == "request"]
    assert [(line["rule"], line["status"], line.get("user_id")) for line in found] == [
        ("/api/v1/users", 201, person.id),
        ("/api/v1/users/login", 200, person.id),
        ("/api/v1/users/me", 401, None),
        ("/api/v1/users/login", 401, None),
    ]


@pytest.mark.parametrize("log_format", ["json"], indirect=True)
def test_cancelling_all_logs_every_order_id(logging_api: Api, log_output: io.StringIO) -> None:
    api = logging_api
    api.harness.tick(70_000)
    person = api.person()
    orders = {api.limit_order(person, "BUY", 1)["id"] for _ in range(23)}

    api.ask("DELETE", "/trading/orders", person, headers={HEADER: "cancel-all"})

    lines = [
        line for line in json_lines(log_output.getvalue()) if line.get("request_id") == "cancel-all"
    ]
    assert [line["event"] for line in lines] == [
        "orders_cancelled",
        "ids_continued",
        "ids_continued",
        "request",
    ]
    assert {one for line in lines for one in line.get("order_ids", ())} == orders


def test_hostile_input_cannot_break_or_forge_a_line(
    logged_settings: Settings, log_output: io.StringIO, log_format: str
) -> None:
    """Headers, paths, queries, names, notes, bodies, Redis values and PortOne's responses."""

    def portone(_request: object) -> object:
        return logged_by_a_server(500, {"type": HOSTILE, "message": HOSTILE})

    with serving(portone) as server:  # type: ignore[arg-type]
        settings = logged_settings.model_copy(update={"portone_api_base_url": server.url})
        with opened(settings) as harness:
            count = _send_hostile_requests(api_on(harness))

    found = events(log_output.getvalue(), log_format)
    assert found.count("request") == count
    assert "forged" not in found
    assert {
        "payment_registration_failed",
        "last_tick_malformed",
        "relayer_health_malformed",
    } <= set(found)


def _send_hostile_requests(api: Api) -> int:
    """Send hostile text in every input; return the number of requests."""
    redis = api.harness.core.redis
    person = api.person()
    environ = {
        "HTTP_X_REQUEST_ID": HOSTILE,
        "HTTP_USER_AGENT": HOSTILE,
        "HTTP_IDEMPOTENCY_KEY": HOSTILE,
    }
    environ |= {
        "HTTP_ACCEPT_LANGUAGE": HOSTILE,
        "HTTP_X_FORWARDED_FOR": HOSTILE,
        "REMOTE_ADDR": HOSTILE,
    }
    hostile = quote(HOSTILE.encode(errors="surrogatepass"))
    api.get("/users/me", person, environ_overrides=environ)
    api.get("/users/me", environ_overrides={"HTTP_AUTHORIZATION": f"Bearer {HOSTILE}"})
    for path in (
        f"/trading/realtime/stock/{hostile}",
        f"/trading/orders/{hostile}",
        f"/{hostile}",
        f"/payments/{hostile}",
    ):
        api.get(path, person)
    api.get(f"/trading/orders?status={hostile}&cursor={hostile}", person)
    api.get(f"/stocks/search?q={hostile}", person)
    api.register(f"{HOSTILE}@example.com")
    api.register("hostile@example.com", name=HOSTILE)
    api.login(HOSTILE, HOSTILE)
    api.order(person, side=HOSTILE, code=HOSTILE, client_order_id=HOSTILE)
    api.post("/watchlist/directories", person, {"name": HOSTILE})
    api.post("/payments/portone/prepare", person, {"amount": 10_000, "order_name": "충전"})
    redis.set(keys.last_tick(SAMSUNG), HOSTILE.encode(errors="surrogatepass"))
    redis.set(keys.RELAYER_HEALTH, HOSTILE.encode(errors="surrogatepass"))
    api.order(person)
    api.get("/trading/realtime/daemon/health", person)
    return len(api.answers)
