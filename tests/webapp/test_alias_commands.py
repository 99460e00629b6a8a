"""`flask stocks aliases`."""

import importlib.util

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.webapp.client import Api, data_of
from trading.stocks.queries import REFRESH_AFTER
from webapp.cli.migrations import MIGRATIONS


def aliases(api: Api, *arguments: str) -> Result:
    return CliRunner().invoke(
        FlaskGroup(create_app=lambda: api.app), ["stocks", "aliases", *arguments]
    )


def found(api: Api, query: str) -> list[str]:
    person = api.person()
    return [
        stock["name"]
        for stock in data_of(api.get("/stocks/search", person, query_string={"q": query}))["stocks"]
    ]


@pytest.mark.every_database
def test_alias_is_found_until_it_is_removed(api: Api) -> None:
    assert found(api, "네이버") == []

    assert aliases(api, "add", "035420", " 네이버\u200b").output == (
        "A035420 is now found as 네이버.\n"
    )
    assert aliases(api, "add", "A035420", "네이버").output.endswith("already found as 네이버.\n")
    assert aliases(api, "list").output == "A035420  네이버  (NAVER)\n"
    api.harness.clock.advance(seconds=REFRESH_AFTER.total_seconds())
    assert found(api, "네이버") == found(api, "spdlqj") == ["NAVER"]

    assert aliases(api, "remove", "035420", "네이버").exit_code == 0
    assert aliases(api, "remove", "035420", "네이버").output == (
        "Error: A035420 has no alias 네이버.\n"
    )
    api.harness.clock.advance(seconds=REFRESH_AFTER.total_seconds())
    assert found(api, "네이버") == []


@pytest.mark.parametrize("arguments", [("x", "y"), ("999999", "y"), ("005930", "\u200b")])
def test_wrong_alias_is_refused_in_one_sentence(
    sqlite_api: Api, arguments: tuple[str, str]
) -> None:
    refused = aliases(sqlite_api, "add", *arguments)
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)


def test_seeded_aliases_belong_to_seeded_stocks(sqlite_api: Api) -> None:
    path = MIGRATIONS / "versions" / "0015_keep_aliases_of_stocks.py"
    spec = importlib.util.spec_from_file_location("seed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for code, names in module.SEED.items():
        for name in names:
            assert aliases(sqlite_api, "add", code, name).exit_code == 0, (code, name)
