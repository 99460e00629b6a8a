"""Login throttling over HTTP."""

from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from launcher.ports import free_port
from tests.support.trading_harness import COUNTED, TradingHarness, opened, settings_for
from tests.webapp.client import PASSWORD, Api, api_on, data_of, problem_of
from trading import bootstrap as trading_core

GUESS = "not the password"
ELSEWHERE = {"environ_overrides": {"REMOTE_ADDR": "198.51.100.7"}}


@pytest.fixture
def api(migrated_sqlite: str, valkey_url: str) -> Any:
    """The API with the default lock, and rate limits high enough not to interfere."""
    with opened(settings_for(migrated_sqlite, valkey_url, rate_limits=True, **COUNTED)) as harness:
        yield api_on(harness)


def guess(api: Api, email: str, password: str = GUESS, **place: Any) -> Any:
    return api.post("/users/login", json={"email": email, "password": password}, **place)


@pytest.mark.parametrize(
    "email", ["known@example.com", "unknown@example.com", " Known@Example.COM "]
)
def test_sixth_guess_is_refused_without_a_check(api: Api, email: str) -> None:
    """With the same response for known and unknown accounts, in any spelling of the address."""
    api.register("known@example.com")

    for _ in range(5):
        problem_of(guess(api, email, **ELSEWHERE), "unauthorized")
    locked = problem_of(guess(api, email, PASSWORD, **ELSEWHERE), "sign-in-locked")

    assert locked["status"] == 429
    assert 58 <= locked["retry_after_s"] <= 60
    assert api.answers[-1].headers["Retry-After"] == str(locked["retry_after_s"])
    assert {name for name in locked if name not in ("request_id", "retry_after_s")} == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
    }


def test_locked_account_keeps_its_sessions(api: Api) -> None:
    """Sessions work and are refreshed, and known clients can log in."""
    person = api.person()
    for _ in range(6):
        guess(api, person.email, **ELSEWHERE)
    problem_of(guess(api, person.email, PASSWORD, **ELSEWHERE), "sign-in-locked")

    data_of(api.get("/users/me", person))
    data_of(api.post("/users/refresh", headers={"Authorization": f"Bearer {person.refresh_token}"}))
    data_of(api.login(person.email))


def test_login_resets_the_failure_count(api: Api) -> None:
    person = api.person()

    for _ in range(2):
        for _ in range(4):
            problem_of(guess(api, person.email), "unauthorized")
        data_of(api.login(person.email))


def test_login_attempts_are_limited_per_account(migrated_sqlite: str, valkey_url: str) -> None:
    """Five per minute by default, over all addresses; other accounts are not affected."""
    with opened(
        settings_for(
            migrated_sqlite,
            valkey_url,
            rate_limits=True,
            sign_in_failures_max=100,
            rate_limit_registration="9 per second",
        )
    ) as harness:
        api = api_on(harness)
        places = [
            {"environ_overrides": {"REMOTE_ADDR": f"198.51.100.{number}"}} for number in range(7)
        ]

        for place in places[:5]:
            problem_of(guess(api, "one@example.com", **place), "unauthorized")
        limited = problem_of(guess(api, "one@example.com", **places[5]), "rate-limited")
        problem_of(guess(api, "other@example.com", **places[6]), "unauthorized")

    assert (limited["limit"], limited["window_s"]) == (5, 60)


def test_unavailable_database_does_not_lock(api: Api) -> None:
    """Each login is a 503."""
    person = api.person()
    away = api.harness.settings.model_copy(
        update={
            "database_uri": SecretStr(
                f"mysql+pymysql://root@127.0.0.1:{free_port()}/x?charset=utf8mb4"
            )
        }
    )
    core = trading_core.build(away, clock=api.harness.clock)
    try:
        for _ in range(6):
            problem_of(
                api_on(TradingHarness(core, api.harness.clock)).login(person.email),
                "service-unavailable",
            )
    finally:
        core.close()

    data_of(api.login(person.email))


def test_security_events_are_logged_without_personal_data(api: Api) -> None:
    """Failures, locks and attempts while locked, with the address and a hash of the account."""
    with capture_logs() as lines:
        for _ in range(6):
            guess(api, "known@example.com", **ELSEWHERE)

    events = [line for line in lines if line["event"].startswith("sign_in_")]
    assert [line["event"] for line in events] == [
        *["sign_in_failed"] * 5,
        "sign_in_locked",
        "sign_in_while_locked",
    ]
    assert {line["address"] for line in events} == {"198.51.100.7"}
    assert len({line["account"] for line in events}) == 1
    assert next(line["locked_s"] for line in events if line["event"] == "sign_in_locked") == 60
    assert "known@example.com" not in str(lines)


def test_guesses_at_closing_the_account_are_counted(api: Api) -> None:
    """With a stolen access token, as many as at the login."""
    person = api.person()
    wrong = {"password": GUESS}

    for _ in range(5):
        problem_of(
            api.ask("DELETE", "/users/me", person, json=wrong, **ELSEWHERE), "wrong-password"
        )
    locked = api.ask("DELETE", "/users/me", person, json={"password": PASSWORD}, **ELSEWHERE)

    problem_of(locked, "sign-in-locked")
    data_of(api.get("/users/me", person))
