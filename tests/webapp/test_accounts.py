"""Accounts: registration, profile, password and closing."""

from uuid import UUID

import pytest

from tests.webapp.client import PASSWORD, Api, data_of, problem_of

USER_MEMBERS = ["id", "email", "name", "role", "created_at"]


def test_registration_opens_an_account_with_starting_cash(api: Api) -> None:
    """The role is USER, the starting cash is the first DEPOSIT, and Location names the profile."""
    answer = api.register("New.User@Example.com", name=" 김주식 ")

    user = data_of(answer, 201)
    assert answer.headers["Location"] == "/api/v1/users/me"
    assert list(user) == USER_MEMBERS
    assert (user["email"], user["name"], user["role"]) == ("new.user@example.com", "김주식", "USER")
    person = api.signed_in("new.user@example.com")
    assert data_of(api.get("/users/me", person)) == user
    (opening,) = data_of(api.get("/balance/history", person))["items"]
    assert (opening["transaction_type"], opening["amount"]) == (
        "DEPOSIT",
        api.harness.settings.starting_cash,
    )


def test_email_is_unique_regardless_of_letter_case(api: Api) -> None:
    api.register("one@example.com")

    problem_of(api.register("ONE@example.com"), "email-taken")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (field, value)
        for field in ("email", "password", "name")
        for value in (None, "", " ", 1, True, [], {}, "x" * 300, "\x00\x07 control", "half \ud800")
    ],
    ids=repr,
)
def test_invalid_registration_is_refused(sqlite_api: Api, field: str, value: object) -> None:
    body = {"email": "a@example.com", "password": PASSWORD, "name": "이름", field: value}

    refused = problem_of(sqlite_api.post("/users", json=body), "validation-failed")

    assert list(refused["errors"]["json"]) == [field]
    problem_of(sqlite_api.login("a@example.com"), "unauthorized")


def test_login_returns_tokens(api: Api) -> None:
    user = data_of(api.register("in@example.com"), 201)

    tokens = data_of(api.login(" IN@example.com "))

    assert list(tokens) == ["access_token", "refresh_token", "token_type", "expires_in", "user"]
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 15 * 60)
    assert tokens["user"] == user


def test_unknown_email_and_wrong_password_get_the_same_response(api: Api) -> None:
    api.register("known@example.com")

    wrong = problem_of(api.login("known@example.com", "not the password"), "unauthorized")
    unknown = problem_of(api.login("unknown@example.com", "not the password"), "unauthorized")

    del wrong["request_id"], unknown["request_id"]
    assert wrong == unknown


@pytest.mark.parametrize(
    "email", ["known@example.com", "unknown@example.com", "\ud800@example.com", ""]
)
def test_login_with_lone_surrogates_is_refused(api: Api, email: str) -> None:
    api.register("known@example.com")

    problem_of(api.login(email, "half \udc00 character"), "unauthorized")


def test_name_can_be_changed(api: Api) -> None:
    """Other members cannot be set."""
    person = api.person()

    changed = data_of(api.ask("PATCH", "/users/me", person, json={"name": "새 이름"}))

    assert changed["name"] == "새 이름"
    assert data_of(api.get("/users/me", person)) == changed
    for member in ("role", "email", "id"):
        problem_of(
            api.ask("PATCH", "/users/me", person, json={"name": "이름", member: "ADMIN"}),
            "validation-failed",
        )
    assert data_of(api.get("/users/me", person))["role"] == "USER"


def test_password_change_ends_every_other_session(api: Api) -> None:
    here = api.person()
    elsewhere = api.signed_in(here.email)

    change = {"current_password": PASSWORD, "new_password": "another good one"}
    data_of(api.post("/users/me/password", here, change))

    data_of(api.get("/users/me", here))
    problem_of(api.get("/users/me", elsewhere), "unauthorized")
    problem_of(api.login(here.email, PASSWORD), "unauthorized")
    data_of(api.login(here.email, "another good one"))


def test_password_change_requires_the_current_password(api: Api) -> None:
    person = api.person()

    change = {"current_password": "a guess at it", "new_password": "another good one"}
    problem_of(api.post("/users/me/password", person, change), "unauthorized")

    data_of(api.login(person.email, PASSWORD))


def test_closed_account_is_erased_and_its_ledger_stays(api: Api) -> None:
    """Tokens, password and name are erased, the address is free again, and the invariants hold."""
    person = api.person("leaving@example.com")

    assert data_of(api.close(person)) is None

    problem_of(api.get("/users/me", person), "unauthorized")
    problem_of(api.login("leaving@example.com"), "unauthorized")
    again = data_of(api.register("leaving@example.com"), 201)
    assert UUID(again["id"]) != UUID(person.id)
    assert api.harness.breaches() == []
