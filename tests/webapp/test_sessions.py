"""Tokens: validation, refresh and expiry."""

import base64
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.webapp.client import Api, Person, api_on, bearer, data_of, problem_of
from trading import bootstrap as trading_core
from trading.accounts.accounts import promote
from trading.accounts.tables import SIGN_IN_SESSIONS
from trading.errors import Forbidden
from trading.unit_of_work import UseCaseRunner
from webapp.http import authentication
from webapp.http.authentication import admin_required, current_user


def test_refresh_returns_new_tokens(api: Api) -> None:
    """For the same user and session."""
    person = api.person()

    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))

    assert renewed["user"]["id"] == person.id
    assert data_of(api.get("/users/me", headers=bearer(renewed["access_token"])))["id"] == person.id
    data_of(api.post("/users/refresh", headers=bearer(renewed["refresh_token"])))


def test_reused_refresh_token_ends_the_session(api: Api) -> None:
    """It may be stolen, so no token of the session works; other sessions stay."""
    person = api.person()
    other = api.signed_in(person.email)
    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))
    api.harness.clock.advance(seconds=11)

    problem_of(api.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized")

    problem_of(api.post("/users/refresh", headers=bearer(renewed["refresh_token"])), "unauthorized")
    problem_of(api.get("/users/me", headers=bearer(renewed["access_token"])), "unauthorized")
    problem_of(api.get("/users/me", person), "unauthorized")
    data_of(api.get("/users/me", other))


def test_two_tabs_that_refresh_at_once_both_get_working_tokens(api: Api) -> None:
    """So does a client that repeats a refresh whose answer was lost."""
    person = api.person()

    tabs = [
        data_of(api.post("/users/refresh", headers=bearer(person.refresh_token))) for _ in range(2)
    ]

    api.harness.clock.advance(minutes=14)
    for tab in tabs:
        assert data_of(api.get("/users/me", headers=bearer(tab["access_token"])))["id"] == person.id
        renewed = data_of(api.post("/users/refresh", headers=bearer(tab["refresh_token"])))
        data_of(api.get("/users/me", headers=bearer(renewed["access_token"])))


def _end_before_answering(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every session end between the transaction of a request and its answer."""
    run = UseCaseRunner.run

    def run_and_end(core: UseCaseRunner, *args: Any, **kwargs: Any) -> Any:
        result = run(core, *args, **kwargs)
        api.harness.do(
            lambda session: session.execute(
                update(SIGN_IN_SESSIONS).values(
                    revoked_at=api.harness.clock(), revoked_reason="signed-out"
                )
            )
        )
        return result

    monkeypatch.setattr(UseCaseRunner, "run", run_and_end)


def test_tokens_of_an_ended_session_are_not_returned(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logout or a password change may end the session before the answer is sent."""
    person = api.person()
    _end_before_answering(api, monkeypatch)

    problem_of(api.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized")
    problem_of(api.login(person.email), "unauthorized")


def test_refresh_token_expires_after_two_weeks(api: Api) -> None:
    """The session's expiry counts, not the token's."""
    person = api.person()

    api.harness.clock.advance(days=14)

    problem_of(api.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized")


def test_logout_takes_effect_at_once_and_after_a_restart(api: Api) -> None:
    person = api.person()
    other = api.signed_in(person.email)

    assert data_of(api.post("/users/logout", person)) is None

    restarted = trading_core.build(api.harness.settings, clock=api.harness.clock)
    try:
        for process in (api, api_on(TradingHarness(restarted, api.harness.clock))):
            problem_of(process.get("/users/me", person), "unauthorized")
            problem_of(
                process.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized"
            )
            data_of(process.get("/users/me", other))
    finally:
        restarted.close()


def test_token_types_are_not_interchangeable(api: Api) -> None:
    person = api.person()

    problem_of(api.get("/users/me", headers=bearer(person.refresh_token)), "unauthorized")
    problem_of(api.post("/users/refresh", headers=bearer(person.access_token)), "unauthorized")


def _claims(person: Person) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(person.access_token, options={"verify_signature": False})
    return claims


def _signed(api: Api, claims: dict[str, Any], **more: Any) -> str:
    return jwt.encode(claims, api.app.config["JWT_SECRET_KEY"], **{"algorithm": "HS256", **more})


def _without_signature(person: Person) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{person.access_token.split('.')[1]}."


def _deep(_api: Api, _person: Person) -> str:
    header = base64.urlsafe_b64encode(b"[" * 5_000).rstrip(b"=").decode()
    return f"{header}.e30.AAAA"


FORGERIES: dict[str, Callable[[Api, Person], str]] = {
    "expired": lambda api, one: _signed(
        api, _claims(one) | {"exp": datetime.now(UTC) - timedelta(seconds=1)}
    ),
    "tampered": lambda _api, one: (
        one.access_token[:-4] + ("AAAA" if one.access_token[-4:] != "AAAA" else "BBBB")
    ),
    "alg none": lambda _api, one: _without_signature(one),
    "other algorithm": lambda api, one: _signed(api, _claims(one), algorithm="HS384"),
    "other key": lambda _api, one: jwt.encode(
        _claims(one), "another secret of thirty-two characters"
    ),
    "other issuer": lambda api, one: _signed(api, _claims(one) | {"iss": "somebody else"}),
    "no issuer": lambda api, one: _signed(
        api, {k: v for k, v in _claims(one).items() if k != "iss"}
    ),
    "no session": lambda api, one: _signed(
        api, {k: v for k, v in _claims(one).items() if k != "sid"}
    ),
    "session of no kind": lambda api, one: _signed(api, _claims(one) | {"sid": [1]}),
    "unknown session": lambda api, one: _signed(api, _claims(one) | {"sid": "0" * 32}),
    "other user": lambda api, one: _signed(api, _claims(one) | {"sub": api.person().id}),
    "no user": lambda api, one: _signed(api, {k: v for k, v in _claims(one).items() if k != "sub"}),
    "user of no kind": lambda api, one: _signed(api, _claims(one) | {"sub": 7}),
    "deep header": _deep,
    "garbage": lambda _api, _one: "not.a.token",
    "one part": lambda _api, _one: "token",
    "no part": lambda _api, _one: "",
    "umlauts": lambda _api, _one: "ä.ö.ü",
    "long": lambda _api, _one: "x" * 8_000,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_tokens_get_the_same_response(sqlite_api: Api, forgery: str) -> None:
    person = sqlite_api.person()
    token = FORGERIES[forgery](sqlite_api, person)

    refused = problem_of(sqlite_api.get("/users/me", headers=bearer(token)), "unauthorized")
    problem_of(sqlite_api.post("/users/refresh", headers=bearer(token)), "unauthorized")

    stranger = problem_of(sqlite_api.get("/users/me"), "unauthorized")
    del refused["request_id"], stranger["request_id"]
    assert refused == stranger


def test_cached_token_expires(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    ends = time.time() + 5
    token = _signed(sqlite_api, _claims(person) | {"exp": ends})

    data_of(sqlite_api.get("/users/me", headers=bearer(token)))
    data_of(sqlite_api.get("/users/me", headers=bearer(token)))

    wait_until(lambda: time.time() > ends, what="the end of the token")
    problem_of(sqlite_api.get("/users/me", headers=bearer(token)), "unauthorized")


def test_token_cache_is_bounded(sqlite_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tokens than cached are all valid."""
    monkeypatch.setattr(authentication, "CLAIMS_CACHED_MAX", 2)
    people = [sqlite_api.person() for _ in range(3)]

    for person in people * 2:
        assert data_of(sqlite_api.get("/users/me", person))["id"] == person.id


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer a b",
        "Basic dXNlcjpwYXNz",
        "bearer",
        "\tBearer x",
        "Basic x, Bearer y",
        "Bearer x, Bearer y",
    ],
)
def test_only_bearer_authorization_is_accepted(sqlite_api: Api, header: str) -> None:
    problem_of(sqlite_api.get("/users/me", headers={"Authorization": header}), "unauthorized")


def test_administrator_routes_check_the_role(api: Api) -> None:
    """401 without login, 403 for users; a promotion needs no new login."""

    @admin_required
    def secret() -> dict[str, object]:
        return {"role": current_user().role}

    api.app.add_url_rule("/api/v1/secret", view_func=secret)
    person = api.person()

    problem_of(api.get("/secret"), "unauthorized")
    problem_of(api.get("/secret", person), Forbidden.code)
    api.harness.core.run(promote, email=person.email)
    assert api.get("/secret", person).get_json() == {"role": "ADMIN"}


def test_unknown_email_takes_as_long_as_a_wrong_password(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """Compared by medians, with hashing slow enough to show."""
    dear = {"argon2_time_cost": 2, "argon2_memory_kib": 16_384, "argon2_parallelism": 1}
    with opened(settings_for(migrated_sqlite, valkey_url, **dear)) as harness:
        api = api_on(harness)
        api.register("known@example.com")
        api.login(
            "nobody@example.com"
        )  # The first miss creates the hash that later misses are compared with.
        spans: dict[str, list[float]] = {"known@example.com": [], "unknown@example.com": []}

        for _ in range(9):
            for email, measured in spans.items():
                began = time.thread_time()
                api.login(email, "not the password")
                measured.append(time.thread_time() - began)

    known, unknown = (statistics.median(measured) for measured in spans.values())
    assert 0.5 < unknown / known < 2


def test_tokens_contain_no_personal_data(sqlite_api: Api) -> None:
    """Only ids of user, session and token."""
    person = sqlite_api.person()

    claims = _claims(person)

    assert set(claims) <= {"sub", "sid", "iss", "iat", "nbf", "exp", "jti", "type", "fresh", "csrf"}
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert person.email not in json.dumps(claims)
