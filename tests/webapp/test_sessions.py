"""Tokens: what is accepted as one, how it is exchanged, and when it stops being good."""

import base64
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.webapp.client import Api, Person, api_on, bearer, data_of, problem_of
from trading import bootstrap as trading_core
from trading.accounts.accounts import promote
from trading.errors import Forbidden
from webapp.http import authentication
from webapp.http.authentication import admin_required, current_user


def test_a_refresh_token_is_exchanged_for_a_new_pair(api: Api) -> None:
    """The new pair works, for the same user and the same session."""
    person = api.person()

    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))

    assert renewed["user"]["id"] == person.id
    assert data_of(api.get("/users/me", headers=bearer(renewed["access_token"])))["id"] == person.id
    data_of(api.post("/users/refresh", headers=bearer(renewed["refresh_token"])))


def test_a_refresh_token_that_comes_twice_ends_the_session(api: Api) -> None:
    """It is in two hands then, one of them a thief's: neither keeps a working token. The user's other sessions stand."""
    person = api.person()
    other = api.signed_in(person.email)
    renewed = data_of(api.post("/users/refresh", headers=bearer(person.refresh_token)))

    problem_of(api.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized")

    problem_of(api.post("/users/refresh", headers=bearer(renewed["refresh_token"])), "unauthorized")
    problem_of(api.get("/users/me", headers=bearer(renewed["access_token"])), "unauthorized")
    problem_of(api.get("/users/me", person), "unauthorized")
    data_of(api.get("/users/me", other))


def test_a_refresh_token_lasts_two_weeks(api: Api) -> None:
    """The session's own end counts, whatever the token says of itself."""
    person = api.person()

    api.harness.clock.advance(days=14)

    problem_of(api.post("/users/refresh", headers=bearer(person.refresh_token)), "unauthorized")


def test_signing_out_counts_at_once_and_after_a_restart(api: Api) -> None:
    """The tokens of the session are refused by the process that signed it out and by one that starts afterwards."""
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


def test_each_kind_of_token_serves_its_own_purpose(api: Api) -> None:
    """A refresh token opens nothing, and an access token is exchanged for nothing."""
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
def test_forged_tokens_are_refused_alike(sqlite_api: Api, forgery: str) -> None:
    """Whatever is wrong with a token, its bearer learns only that he is not signed in."""
    person = sqlite_api.person()
    token = FORGERIES[forgery](sqlite_api, person)

    refused = problem_of(sqlite_api.get("/users/me", headers=bearer(token)), "unauthorized")
    problem_of(sqlite_api.post("/users/refresh", headers=bearer(token)), "unauthorized")

    stranger = problem_of(sqlite_api.get("/users/me"), "unauthorized")
    del refused["request_id"], stranger["request_id"]
    assert refused == stranger


def test_a_token_that_was_good_expires(sqlite_api: Api) -> None:
    """That its signature is known does not outlast it."""
    person = sqlite_api.person()
    ends = time.time() + 5
    token = _signed(sqlite_api, _claims(person) | {"exp": ends})

    data_of(sqlite_api.get("/users/me", headers=bearer(token)))
    data_of(sqlite_api.get("/users/me", headers=bearer(token)))

    wait_until(lambda: time.time() > ends, what="the end of the token")
    problem_of(sqlite_api.get("/users/me", headers=bearer(token)), "unauthorized")


def test_what_is_known_of_tokens_is_bounded(
    sqlite_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More tokens than are remembered are all good all the same."""
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
def test_other_authorization_is_none(sqlite_api: Api, header: str) -> None:
    """Only a bearer token signs a request."""
    problem_of(sqlite_api.get("/users/me", headers={"Authorization": header}), "unauthorized")


def test_administrators_only(api: Api) -> None:
    """A view for administrators answers 401 to strangers, 403 to users, and follows a promotion without a new sign-in."""

    @admin_required
    def secret() -> dict[str, object]:
        return {"role": current_user().role}

    api.app.add_url_rule("/api/v1/secret", view_func=secret)
    person = api.person()

    problem_of(api.get("/secret"), "unauthorized")
    problem_of(api.get("/secret", person), Forbidden.code)
    api.harness.core.database.transaction(lambda session: promote(session, email=person.email))
    assert api.get("/secret", person).get_json() == {"role": "ADMIN"}


def test_an_unknown_address_takes_as_long_as_a_wrong_password(
    migrated_sqlite: str, valkey_url: str
) -> None:
    """With hashing at a price that shows, the medians are alike; without it an unknown address would answer many times faster."""
    dear = {"argon2_time_cost": 2, "argon2_memory_kib": 16_384, "argon2_parallelism": 1}
    with opened(settings_for(migrated_sqlite, valkey_url, **dear)) as harness:
        api = api_on(harness)
        api.register("known@example.com")
        api.login(
            "nobody@example.com"
        )  # The first miss makes the hash that later misses are measured against.
        spans: dict[str, list[float]] = {"known@example.com": [], "unknown@example.com": []}

        for _ in range(9):
            for email, measured in spans.items():
                began = time.thread_time()
                api.login(email, "not the password")
                measured.append(time.thread_time() - began)

    known, unknown = (statistics.median(measured) for measured in spans.values())
    assert 0.5 < unknown / known < 2


def test_tokens_say_no_more_than_they_must(sqlite_api: Api) -> None:
    """A token can be read by whoever holds it: it names the user, the session and itself, and no address, name or role."""
    person = sqlite_api.person()

    claims = _claims(person)

    assert set(claims) <= {"sub", "sid", "iss", "iat", "nbf", "exp", "jti", "type", "fresh", "csrf"}
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert person.email not in json.dumps(claims)
