"""Halting, resuming, delisting and classifying stocks, by administrators and operators."""

from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.webapp.client import Api, Person, data_of, problem_of

FUND = "A069500"


@pytest.fixture
def administrator(api: Api) -> Person:
    return api.administrator()


def stocks(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), ["stocks", *arguments])


def control(api: Api, who: Person, action: str, body: object = None, code: str = "005930") -> Any:
    return api.post(f"/admin/stocks/{code}/{action}", who, body)


def limits_of(api: Api, who: Person, code: str) -> tuple[int | None, int | None]:
    price = data_of(api.get(f"/stocks/{code}/price", who))
    return price["lower_limit"], price["upper_limit"]


def log_of(api: Api, administrator: Person) -> list[tuple[str, str, str]]:
    """Return action, target and outcome of the log's entries, oldest first."""
    items = data_of(api.get("/admin/actions", administrator))["items"]
    return [(one["action"], one["target"], one["outcome"]) for one in reversed(items)]


def test_stock_is_halted_and_resumed_over_http(api: Api, administrator: Person) -> None:
    person = api.person()
    api.harness.tick(70_000)
    waiting = api.limit_order(person)

    halted = data_of(control(api, administrator, "halt", {"reason": "공시"}))

    assert (halted["status"], halted["change"], halted["informed"]) == ("HALTED", "halted", 1)
    assert (halted["halted_at"], halted["resumed_at"]) == ("2026-11-20T01:00:00+00:00", None)
    refused = problem_of(api.order(person), "stock-not-tradable")
    assert refused["stock_status"] == "HALTED"
    again = control(api, administrator, "halt")
    assert (data_of(again)["change"], data_of(again)["informed"]) == (None, 0)
    path = f"/trading/orders/{waiting['id']}"
    assert data_of(api.get(path, person))["status"] == "PENDING"
    explained = data_of(api.get(f"{path}/explain", person))["waiting"]["reasons"]
    assert explained[0]["code"] == "stock-halted"

    resumed = data_of(control(api, administrator, "resume"))

    assert (resumed["status"], resumed["change"]) == ("TRADABLE", "resumed")
    data_of(api.order(person), 201)
    assert log_of(api, administrator) == [
        ("stocks.halt", SAMSUNG, "halted"),
        ("stocks.halt", SAMSUNG, "unchanged"),
        ("stocks.resume", SAMSUNG, "resumed"),
    ]
    kinds = [event["kind"] for event in data_of(api.get("/trading/events", person))["items"]]
    assert kinds.count("stock") == 2


def test_stock_is_delisted_over_http(api: Api, administrator: Person) -> None:
    person = api.person()
    order = api.limit_order(person)
    assert data_of(control(api, administrator, "delist"))["status"] == "DELISTED"
    ended = data_of(api.get(f"/trading/orders/{order['id']}", person))
    assert (ended["status"], ended["reason"]) == ("CANCELLED", "stock-not-tradable")
    assert data_of(api.get("/balance", person))["reserved_cash"] == 0
    refused = problem_of(control(api, administrator, "halt"), "stock-not-tradable")
    assert refused["stock_status"] == "DELISTED"


def test_liquidation_and_leverage_change_the_limits(api: Api, administrator: Person) -> None:
    person = api.person()
    api.harness.tick(20_000, FUND, base=20_000)
    assert limits_of(api, person, FUND) == (14_000, 26_000)

    changed = data_of(control(api, administrator, "leverage", {"leverage": "-2"}, FUND))
    assert (changed["leverage"], changed["change"]) == ("-2", "leverage-changed")
    assert limits_of(api, person, FUND) == (8_000, 32_000)
    data_of(control(api, administrator, "liquidate", code=FUND))
    assert limits_of(api, person, FUND) == (1, None)
    ended = data_of(control(api, administrator, "liquidate", {"in_liquidation": False}, FUND))
    assert (ended["in_liquidation"], ended["change"]) == (False, "liquidation-ended")
    assert limits_of(api, person, FUND) == (8_000, 32_000)


@pytest.mark.parametrize("leverage", ["", "0", "4", "x", "2 0", 2, None, "-3.01"])
def test_wrong_leverage_is_refused(sqlite_api: Api, leverage: object) -> None:
    administrator = sqlite_api.administrator()
    answer = control(sqlite_api, administrator, "leverage", {"leverage": leverage})
    assert problem_of(answer, "validation-failed")["errors"]["json"]["leverage"]


@pytest.mark.parametrize("action", ["halt", "resume", "delist", "liquidate"])
def test_unknown_stock_and_ordinary_user_are_refused(sqlite_api: Api, action: str) -> None:
    administrator, person = sqlite_api.administrator(), sqlite_api.person()
    for code in ("999999", "x"):
        problem_of(control(sqlite_api, administrator, action, code=code), "stock-not-found")
    problem_of(control(sqlite_api, person, action), "forbidden")


def test_stock_is_controlled_from_the_command_line(api: Api, administrator: Person) -> None:
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    expected = {
        ("halt", "005930", "--reason", "공시"): "HALTED, leverage 1; users informed: 1.",
        ("resume", "005930"): "TRADABLE, leverage 1; users informed: 1.",
        ("liquidate", "005930"): (
            "TRADABLE, leverage 1, in liquidation trading; users informed: 1."
        ),
        ("liquidate", "005930", "--end"): "TRADABLE, leverage 1; users informed: 1.",
        ("delist", "A005930"): "DELISTED, leverage 1; users informed: 1.",
        ("set-leverage", "000660", "-2"): "TRADABLE, leverage -2; users informed: 0.",
        ("set-leverage", "000660", "1.5"): "TRADABLE, leverage 1.5; users informed: 0.",
    }
    for arguments, ending in expected.items():
        done = stocks(api, *arguments)
        assert done.exit_code == 0, done.output
        assert done.output.endswith(f" is now {ending}\n"), done.output
    assert stocks(api, "delist", "005930").output == (
        "A005930 삼성전자 was already DELISTED, leverage 1; users informed: 0.\n"
    )
    assert [entry[0] for entry in log_of(api, administrator)] == [
        "stocks.halt", "stocks.resume", "stocks.liquidate", "stocks.liquidate", "stocks.delist",
        "stocks.set-leverage", "stocks.set-leverage", "stocks.delist",
    ]  # fmt: skip
    assert data_of(api.get(f"/stocks/{HYNIX}", person))["leverage"] == "1.5"


@pytest.mark.parametrize(
    "arguments",
    [
        ("halt", "x"),
        ("halt", "999999"),
        ("halt", "005930", "--reason", "x" * 201),
        ("halt", "005930", "--reason", "\x00"),
        ("set-leverage", "005930", "-4"),
        ("set-leverage", "005930", "0"),
        ("set-leverage", "005930", "--x"),
        ("set-leverage", "999999", "2"),
    ],
)
def test_wrong_command_is_refused_in_one_sentence(
    sqlite_api: Api, arguments: tuple[str, ...]
) -> None:
    refused = stocks(sqlite_api, *arguments)
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1), refused.output
    assert refused.output.startswith("Error: ")


def test_halt_of_a_delisted_stock_is_refused_in_one_sentence(sqlite_api: Api) -> None:
    assert stocks(sqlite_api, "delist", "005930").exit_code == 0
    assert stocks(sqlite_api, "halt", "005930").output == "Error: A005930 is DELISTED.\n"
