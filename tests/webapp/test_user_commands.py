"""`flask users list` and `flask users show`; other commands answer with addresses."""

from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.webapp.client import Api


def flask(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), ["users", *arguments])


def addresses(api: Api, *arguments: str) -> list[str]:
    """Return the first word of each line."""
    result = flask(api, "list", *arguments)
    assert result.exit_code == 0, result.output
    return [line.split()[0] for line in result.output.splitlines()]


@pytest.fixture
def people(api: Api) -> Api:
    for email in ("kim@example.com", "Lee@example.com", "100%_a@example.com"):
        api.person(email)
    return api


def test_accounts_are_listed_newest_first(people: Api) -> None:
    """In pages, each with its id and the time of its opening."""
    lines = flask(people, "list", "--limit", "2").output.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["100%_a@example.com", "lee@example.com"]
    assert "since 2026-11-20 10:00:00+09:00" in lines[0]
    option, last_id = lines[2].removeprefix("There are more: ").split()
    assert addresses(people, option, last_id) == ["kim@example.com"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("LEE@", ["lee@example.com"]),
        ("example.com", ["100%_a@example.com", "lee@example.com", "kim@example.com"]),
        ("%_a", ["100%_a@example.com"]),
        ("l%e", ["Nothing."]),
        ("nobody", ["Nothing."]),
    ],
)
def test_search_is_a_part_of_the_address_in_any_case(
    people: Api, search: str, found: list[str]
) -> None:
    assert addresses(people, search) == found


def test_filters_by_state(people: Api) -> None:
    admin, halted, closed = (people.person(f"{name}@x.example") for name in ("adm", "hal", "clo"))
    flask(people, "promote", admin.email)
    flask(people, "halt", halted.email, "--reason", "확인")
    people.close(closed)

    assert addresses(people, "--admins") == [admin.email]
    assert addresses(people, "--halted") == [halted.email]
    assert addresses(people, "--closed") == ["(closed)"]
    assert closed.id in flask(people, "list", "--closed").output
    assert closed.email not in addresses(people)


def test_account_is_shown_by_address_or_id(api: Api) -> None:
    api.harness.tick(70_000)
    person = api.person()
    api.bought(person, 3)
    api.limit_order(person, price=69_000, quantity=1)
    flask(api, "halt", person.email, "--reason", "확인\n중")

    by_email, by_id = flask(api, "show", f" {person.email.upper()}"), flask(api, "show", person.id)

    assert (by_email.exit_code, by_email.output) == (0, by_id.output)
    facts = dict(line.split(maxsplit=1) for line in by_id.output.splitlines() if " " in line)
    assert facts["e-mail"] == person.email
    assert facts["id"] == person.id
    assert facts["opened"] == "2026-11-20 10:00:00+09:00"
    assert facts["halted"] == "2026-11-20 10:00:00+09:00: administrator (확인 중)"
    assert facts["holdings"] == "1 stocks"
    assert "open orders  1" in by_id.output
    assert facts["cash"].startswith("9,789,9")
    assert "69,0" in facts["cash"].partition(",")[2]


def test_unknown_account_is_one_sentence(api: Api) -> None:
    for user in ("nobody@example.com", str(uuid4())):
        result = flask(api, "show", user)
        assert (result.exit_code, result.output) == (1, f"Error: There is no account {user}.\n")


def test_halting_commands_answer_with_the_address(api: Api) -> None:
    """Also for a call by id."""
    person = api.person()
    label = f"{person.email} ({person.id})"

    halted = flask(api, "halt", person.id, "--reason", "x").output
    listed = flask(api, "halted").output
    resumed = flask(api, "resume", person.id, "--note", "x").output
    again = flask(api, "resume", person.email, "--note", "x").output

    assert halted == f"{label} is halted since 2026-11-20 10:00:00+09:00.\n"
    assert listed.startswith(f"{label} since 2026-11-20 10:00:00+09:00: administrator (x)\n")
    assert resumed == f"{label} may trade again.\n"
    assert again == f"Error: {label} is not halted.\n"
