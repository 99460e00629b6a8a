"""What is logged of requests: ids, figures and codes, and never a secret."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text

from tests.books import migrate, opened, settings_for
from tests.webapp.client import PASSWORD, Api, api_on, bearer, data_of, problem_of
from trading.logs import configure
from webapp.request_context import HEADER

FORMATS = ["console", "json"]


@pytest.fixture
def written() -> io.StringIO:
    """What the process has written to its standard error."""
    return io.StringIO()


@pytest.fixture(params=FORMATS)
def logging_api(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, written: io.StringIO) -> Iterator[Api]:
    """The API on a database of its own, with the logs of production, in each format."""
    uri = f"sqlite:///{tmp_path}/logged.db"
    migrate(uri)
    root = logging.getLogger()
    level = root.level
    settings = settings_for(uri, valkey_url, log_format=request.param, log_level="DEBUG")
    with contextlib.redirect_stderr(written):
        configure(settings)
    ours = root.handlers[:]
    try:
        with opened(settings) as books:
            yield api_on(books)
    finally:
        for handler in ours:
            root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()


def test_no_secret_is_answered_or_logged(logging_api: Api, written: io.StringIO) -> None:
    """Through a whole life of an account, failures of ours included, no password, hash or token is where it does not belong."""
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
    tokens_given = [answer for answer in api.answers if answer.request.path.endswith(("/login", "/refresh"))]
    # A fault of ours: the statement that fails has the hash as a parameter, and the frames have the password.
    with api.books.core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO gone"))
    for headers in ({}, {"Idempotency-Key": "other"}):
        body = {"email": "x@example.com", "password": PASSWORD, "name": "이름"}
        problem_of(api.post("/users", None, body, headers=headers), "internal-error")

    logs = written.getvalue()
    assert "request_failed" in logs
    assert "no such table" in logs
    secrets = [PASSWORD, "a wrong password", "another good one", "$argon2"]
    tokens = [person.access_token, person.refresh_token, renewed["access_token"], renewed["refresh_token"]]
    for secret in secrets + tokens + [token.rsplit(".", 1)[1] for token in tokens]:
        assert secret not in logs
    for answer in api.answers:
        content = answer.get_data(as_text=True) + str(answer.headers)
        assert not [secret for secret in secrets if secret in content], answer.request.path
        if answer not in tokens_given:
            assert not [token for token in tokens if token in content], answer.request.path


def test_a_failure_of_ours_tells_the_client_nothing(logging_api: Api) -> None:
    """No exception's text leaves the process; the request id leads from the answer to the log."""
    with logging_api.books.core.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO gone"))

    failed = problem_of(logging_api.register(), "internal-error")

    assert "users" not in failed["detail"]
    assert "errors" not in failed


@pytest.mark.parametrize("logging_api", ["json"], indirect=True)
def test_every_request_is_logged_with_its_id(logging_api: Api, written: io.StringIO) -> None:
    """One line a request: method, rule, status, duration and the id that the client knows."""
    written.seek(0)
    written.truncate()

    answer = logging_api.get("/portfolio/A005930", headers={HEADER: "client-chosen-1"})

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["rule"], line["status"]) == ("GET", "/api/v1/portfolio/<stock_code>", 401)
    assert line["request_id"] == answer.headers[HEADER] == "client-chosen-1"
    assert line["duration_ms"] >= 0
    assert line["level"] == "info"


def test_a_user_cannot_write_lines_into_the_log(logging_api: Api, written: io.StringIO) -> None:
    """A line break that a user sends stays inside his own line."""
    person = logging_api.person()
    written.seek(0)
    written.truncate()

    logging_api.get("/trading/realtime/stock/%0aforged", person)

    assert not [line for line in written.getvalue().splitlines() if line.lstrip().startswith("forged")]


@pytest.mark.parametrize("given", ["abcdefgh", "A-b_c.1234", "x" * 64])
def test_a_proper_request_id_is_kept(sqlite_api: Api, given: str) -> None:
    """The client may name its request; the answer and a problem carry the name."""
    answer = sqlite_api.get("/users/me", headers={HEADER: given})

    assert answer.headers[HEADER] == given
    assert problem_of(answer, "unauthorized")["request_id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with space", "line\tbreak", "ümlaut-name", "semi;colon"])
def test_an_improper_request_id_is_replaced(sqlite_api: Api, given: str) -> None:
    """What could not stand in a log or a header as it is, gets an id of ours."""
    answer = sqlite_api.get("/users/me", headers={HEADER: given})

    assert answer.headers[HEADER] != given
    assert len(answer.headers[HEADER]) == 32


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/openapi.json", "/docs/", "/api/v1/balance"])
def test_the_request_id_is_on_every_answer(sqlite_api: Api, path: str) -> None:
    """Successes, refusals, unknown addresses and pages outside the API alike; two requests never share one."""
    ids = set()
    for _ in range(2):
        with sqlite_api.client.get(path) as answer:
            ids.add(answer.headers[HEADER])

    assert len(ids) == 2
