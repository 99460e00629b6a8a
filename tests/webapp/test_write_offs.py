"""Write-offs of delisted stocks, by command and over HTTP."""

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.support.trading_harness import SAMSUNG
from tests.trading.orders.steps import rows, set_status
from tests.webapp.client import Api, data_of, problem_of

PATH = f"/admin/stocks/{SAMSUNG}/write-off"


def command(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(
        FlaskGroup(create_app=lambda: api.app), ["stocks", "write-off", *arguments]
    )


def test_administrator_writes_off_a_delisted_stock(api: Api) -> None:
    person, administrator = api.person(), api.administrator()
    api.harness.tick(70_000)
    api.bought(person, 10)
    refused = problem_of(api.post(PATH, administrator), "stock-not-delisted")
    assert refused["stock_name"] == "삼성전자"
    set_status(api.harness, "DELISTED")

    found = data_of(api.post(PATH, administrator, {"reason": "정리매매 종료"}))

    assert found == {
        "stock_code": SAMSUNG,
        "stock_name": "삼성전자",
        "holdings": 1,
        "quantity": 10,
        "loss": 700_105,
        "reserved_holdings": 0,
    }
    assert data_of(api.get("/portfolio", person))["items"] == []
    summary = data_of(api.get("/portfolio/summary", person))
    assert (summary["realized_profit"], summary["total_assets"]) == (-700_105, 10_000_000 - 700_105)
    (closed,) = data_of(api.get("/portfolio/closed", person))["items"]
    assert (closed["written_off_quantity"], closed["realized_profit"]) == (10, -700_105)
    (logged,) = rows(api.harness, "SELECT target FROM admin_actions WHERE action LIKE '%write-off'")
    assert logged["target"] == SAMSUNG
    set_status(api.harness, "TRADABLE")


def test_only_administrators_write_off(sqlite_api: Api) -> None:
    problem_of(sqlite_api.post(PATH), "unauthorized")
    problem_of(sqlite_api.post(PATH, sqlite_api.person()), "forbidden")
    problem_of(
        sqlite_api.post("/admin/stocks/x/write-off", sqlite_api.administrator()), "stock-not-found"
    )


def test_operator_writes_off_a_delisted_stock(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    sqlite_api.bought(person, 10)
    set_status(sqlite_api.harness, "DELISTED")

    done = command(sqlite_api, "005930", "--reason", "정리매매 종료")

    assert (done.exit_code, done.stdout) == (
        0,
        "Wrote off 1 holdings of A005930 삼성전자: 10 shares, a loss of 700,105 won.\n",
    )
    set_status(sqlite_api.harness, "TRADABLE")


@pytest.mark.parametrize(
    "arguments", [("x",), ("999999",), ("005930",), ("005930", "--reason", "가" * 201)]
)
def test_wrong_write_off_is_refused_in_one_sentence(
    sqlite_api: Api, arguments: tuple[str, ...]
) -> None:
    refused = command(sqlite_api, *arguments)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
