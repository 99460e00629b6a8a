"""Guessing at a sign-in, as the API answers it."""

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
    """The API whose lock is as by default, and whose limits are out of its way."""
    with opened(settings_for(migrated_sqlite, valkey_url, rate_limits=True, **COUNTED)) as harness:
        yield api_on(harness)


def guess(api: Api, email: str, password: str = GUESS, **place: Any) -> Any:
    return api.post("/users/login", json={"email": email, "password": password}, **place)


@pytest.mark.parametrize(
    "email", ["known@example.com", "unknown@example.com", " Known@Example.COM "]
)
def test_the_sixth_guess_is_not_looked_at(api: Api, email: str) -> None:
    """Whether there is such an account or not, and however its address is written, the answers are word for word the same."""
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


def test_a_locked_account_goes_on_where_it_is_signed_in(api: Api) -> None:
    """Its sessions are used and renewed, and its owner signs in from where he has before, whatever others guess elsewhere."""
    person = api.person()
    for _ in range(6):
        guess(api, person.email, **ELSEWHERE)
    problem_of(guess(api, person.email, PASSWORD, **ELSEWHERE), "sign-in-locked")

    data_of(api.get("/users/me", person))
    data_of(api.post("/users/refresh", headers={"Authorization": f"Bearer {person.refresh_token}"}))
    data_of(api.login(person.email))


def test_signing_in_forgets_what_was_mistyped(api: Api) -> None:
    """Four mistakes and a success, twice, lock nothing."""
    person = api.person()

    for _ in range(2):
        for _ in range(4):
            problem_of(guess(api, person.email), "unauthorized")
        data_of(api.login(person.email))


def test_the_limit_of_attempts_is_the_accounts(migrated_sqlite: str, valkey_url: str) -> None:
    """Five a minute by default, from however many addresses; another account is not held up."""
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


def test_a_database_that_is_away_is_nobodys_mistake(api: Api) -> None:
    """Who signs in while it is gets a 503 each time, and no lock."""
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


def test_security_events_are_logged_without_saying_of_whom(api: Api) -> None:
    """Failures, the lock and attempts against it, each by a name of its own, with the address it came from and the account as a hash."""
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
