"""Rules for new passwords, when registering and changing but not when logging in."""

from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update

from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import HANGUL, PASSWORD, Api, api_on, data_of, problem_of
from trading.accounts.tables import USERS

# A password, the reason why it is refused, and its fact.
REFUSED: list[tuple[str, str, dict[str, int]]] = [
    ("short one", "too-short", {"minimum": 10}),
    ("", "too-short", {"minimum": 10}),
    ("가" * 129, "too-long", {"limit": 128}),
    ("password1234", "too-common", {}),
    ("qlalfqjsgh12", "too-common", {}),
    ("Gildong.Navy1", "resembles-account", {}),
    ("gildong.navy@example.com", "resembles-account", {}),
]


@pytest.mark.parametrize(("password", "reason", "facts"), REFUSED)
def test_weak_password_is_refused_with_its_reason(
    sqlite_api: Api, password: str, reason: str, facts: dict[str, int]
) -> None:
    """On both routes, with field, stable reason, fact and Korean text; nothing is written."""
    api = sqlite_api
    registering = api.register("gildong.navy@example.com", password=password)
    person = api.person("gildong.navy@example.com")
    change = {"current_password": PASSWORD, "new_password": password}
    changing = api.post(
        "/users/me/password", person, change, headers={"Idempotency-Key": "one-key"}
    )

    for answer, field in ((registering, "password"), (changing, "new_password")):
        refused = problem_of(answer, "validation-failed")
        assert (refused["field"], refused["reason"]) == (field, reason)
        assert {name: refused.get(name) for name in ("minimum", "limit")} == {
            "minimum": None,
            "limit": None,
            **facts,
        }
        assert refused["errors"] == {"json": {field: [refused["detail"]]}}
        assert "비밀번호" in refused["detail"]
        assert HANGUL.search(refused["detail"])
        assert not password or password not in answer.get_data(as_text=True)
    data_of(api.login(person.email, PASSWORD))


def test_another_password_may_be_sent_with_the_same_key(sqlite_api: Api) -> None:
    """A refused form claims no key."""
    body: dict[str, Any] = {"email": "key@example.com", "password": "password1234", "name": "이름"}
    key = {"Idempotency-Key": "one-key"}
    problem_of(sqlite_api.post("/users", json=body, headers=key), "validation-failed")
    data_of(sqlite_api.post("/users", json={**body, "password": PASSWORD}, headers=key), 201)


def test_password_from_before_the_rules_still_works(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    users = USERS
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    for old in ("1234", "password"):
        changed = (
            update(users)
            .where(users.c.email == person.email)
            .values(password_hash=hasher.hash(old))
        )
        sqlite_api.harness.do(lambda session, changed=changed: session.execute(changed))
        data_of(sqlite_api.login(person.email, old))


def test_password_is_compared_in_normal_form(sqlite_api: Api) -> None:
    """Chosen with composed and typed with decomposed characters."""
    sqlite_api.register("nfd@example.com", password="소나기가 지나간 오후")
    decomposed = (
        "\u1109\u1169\u1102\u1161\u1100\u1175\u1100\u1161 "
        "\u110c\u1175\u1102\u1161\u1100\u1161\u11ab \u110b\u1169\u1112\u116e"
    )
    data_of(sqlite_api.login("nfd@example.com", decomposed))
    problem_of(sqlite_api.login("nfd@example.com", decomposed[:-1]), "unauthorized")


def test_minimum_length_is_configurable(migrated_sqlite: str, valkey_url: str) -> None:
    with opened(settings_for(migrated_sqlite, valkey_url, password_length_min=15)) as harness:
        api = api_on(harness)
        assert (
            problem_of(api.register(password="battery staple"), "validation-failed")["minimum"]
            == 15
        )
        data_of(api.register(password="battery staples"), 201)
