"""`flask index`."""

from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from launcher.plan import ROOT
from tests.webapp.client import Api
from trading.stocks.indices.queries import index_closes

REAL_FILE = ROOT.parent / "shared" / "data" / "kospi_index_2026.csv"


def index(api: Api, *arguments: object) -> Result:
    """Run a `flask index` command on the API's application."""
    return CliRunner().invoke(
        FlaskGroup(create_app=lambda: api.app), ["index", *map(str, arguments)]
    )


def stored_closes(api: Api, code: str = "KOSPI") -> dict[date, int]:
    return api.harness.core.read(index_closes, code)


def write_file(folder: Path, *rows: str) -> Path:
    path = folder / "index.csv"
    path.write_text("\n".join(("Date,Close", *rows)), encoding="utf-8-sig")
    return path


def test_closes_are_imported_and_corrected(api: Api, tmp_path: Path) -> None:
    """A repeated import changes nothing, and a later file replaces the days that it contains."""
    first = write_file(tmp_path, "2026-11-19,4000.10", "2026-11-20,4010.25")
    for _ in range(2):
        result = index(api, "import", first)
        assert (result.exit_code, result.output) == (
            0,
            "Imported 2 closes of KOSPI, 2026-11-19 to 2026-11-20.\n",
        )
        assert stored_closes(api) == {date(2026, 11, 19): 400_010, date(2026, 11, 20): 401_025}

    index(api, "import", write_file(tmp_path, "2026-11-20,4010.26"))
    assert stored_closes(api) == {date(2026, 11, 19): 400_010, date(2026, 11, 20): 401_026}
    assert stored_closes(api, "KOSDAQ") == {}


def test_more_closes_than_a_batch_are_imported(api: Api, tmp_path: Path) -> None:
    days = [date.fromordinal(date(2023, 1, 1).toordinal() + n) for n in range(1_001)]
    result = index(
        api, "import", write_file(tmp_path, *(f"{day},{n + 1}" for n, day in enumerate(days)))
    )

    assert result.exit_code == 0, result.output
    assert stored_closes(api) == {day: (n + 1) * 100 for n, day in enumerate(days)}


@pytest.mark.parametrize("row", ["2026-11-20,zero", "2026-11-31,1", "2026-11-19,1"])
def test_file_with_an_error_changes_nothing(sqlite_api: Api, tmp_path: Path, row: str) -> None:
    """The line is named, and valid rows are not imported either."""
    result = index(sqlite_api, "import", write_file(tmp_path, "2026-11-19,4000.10", row))

    assert result.exit_code == 1
    assert "line 3: " in result.output
    assert stored_closes(sqlite_api) == {}


def test_missing_file_is_reported(sqlite_api: Api, tmp_path: Path) -> None:
    result = index(sqlite_api, "import", tmp_path / "nothing.csv")
    assert (result.exit_code, "Error" in result.output) == (1, True)


def test_show_lists_closes_and_missing_days(sqlite_api: Api, tmp_path: Path) -> None:
    assert index(sqlite_api, "show").exit_code == 1
    index(
        sqlite_api,
        "import",
        write_file(tmp_path, "2026-11-13,3999.9", "2026-11-16,4000.05", "2026-11-19,4010"),
    )

    assert index(sqlite_api, "show").output.splitlines() == [
        "2026-11-13 Fri  3,999.90",
        "2026-11-16 Mon  4,000.05",
        "2026-11-19 Thu  4,010.00",
        "3 closes of KOSPI, 2026-11-13 to 2026-11-19.",
        "2 trading days have none: 2026-11-17, 2026-11-18.",
    ]


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the exchange's files are not part of the product"
)
def test_real_file_has_every_trading_day(sqlite_api: Api) -> None:
    assert index(sqlite_api, "import", REAL_FILE).exit_code == 0
    assert (
        index(sqlite_api, "show").output.splitlines()[-1]
        == "52 closes of KOSPI, 2026-01-02 to 2026-03-20."
    )
