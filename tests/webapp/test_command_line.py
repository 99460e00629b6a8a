"""`flask seed`, `flask stocks`, `flask users` and `flask audit`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from sqlalchemy import func, select, update

from tests.webapp.client import Api, data_of
from trading.ledger.tables import VIRTUAL_BALANCES
from trading.stocks.tables import STOCKS

LISTING = (
    "Code,ISU_CD,Name,Market,Close,Stocks\n"
    "000020,KR7000020008,동화약품,KOSPI,6000,27931470\n"
    "900110,HK0000057197,이스트아시아홀딩스,KOSDAQ,100,1\n"
)


def _flask(api: Api, *arguments: str) -> Result:
    """Run a `flask` command on the API's application."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), list(arguments))


def _count(api: Api) -> int:
    return api.harness.core.database.read(
        lambda session: session.scalar(select(func.count()).select_from(STOCKS)) or 0
    )


def test_seed_may_be_repeated(api: Api) -> None:
    """A status set by an operator is kept."""
    halt = update(STOCKS).where(STOCKS.c.code == "A005930").values(status="HALTED")
    api.harness.core.database.transaction(lambda session: session.execute(halt))

    first, second = _flask(api, "seed"), _flask(api, "seed")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output == second.output == f"Seeded {_count(api)} stocks.\n"
    status = select(STOCKS.c.status).where(STOCKS.c.code == "A005930")
    assert api.harness.core.database.read(lambda session: session.scalar(status)) == "HALTED"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_listing_is_imported(api: Api, tmp_path: Path, encoding: str) -> None:
    """In the encodings that KRX uses; existing stocks stay."""
    file, before = tmp_path / "krx.csv", _count(api)
    file.write_text(LISTING, encoding=encoding)

    result = _flask(api, "stocks", "import", str(file))

    assert (result.exit_code, result.output) == (0, "Imported 2 stocks.\n")
    assert _count(api) == before + 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02\xff\xfe",
        b"Code,Name\n000020,X\n",
        LISTING.replace("000020", "20").encode(),
        LISTING.replace("KOSPI", "NYSE").encode(),
        LISTING.replace("6000", "-6000").encode(),
        LISTING.replace("900110", "000020").encode(),
        LISTING.replace("KR7000020008", "K" * 300).encode(),
        (LISTING + '000030,"' + "x" * 200_000).encode(),
    ],
    ids=[
        "empty",
        "binary",
        "no market",
        "short code",
        "market",
        "price",
        "twice",
        "long isin",
        "open quote",
    ],
)
def test_listing_with_an_error_is_rejected_as_a_whole(
    api: Api, tmp_path: Path, content: bytes
) -> None:
    file, before = tmp_path / "krx.csv", _count(api)
    file.write_bytes(content)

    result = _flask(api, "stocks", "import", str(file))

    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file}: ")
    assert _count(api) == before


def test_missing_listing_file_is_reported(sqlite_api: Api, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        result = _flask(sqlite_api, "stocks", "import", str(path))
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: {path}: ")


def test_promote_makes_an_administrator(api: Api) -> None:
    """In any letter case; unknown and closed accounts are refused."""
    person, closed = api.person("admin@example.com"), api.person("closed@example.com")
    api.close(closed)

    promoted = _flask(api, "users", "promote", " Admin@Example.com")

    assert (promoted.exit_code, promoted.output) == (0, "admin@example.com is now ADMIN.\n")
    assert data_of(api.get("/users/me", person))["role"] == "ADMIN"
    for email in ("nobody@example.com", "closed@example.com"):
        refused = _flask(api, "users", "promote", email)
        assert (refused.exit_code, refused.output) == (
            1,
            f"Error: No account has the e-mail address {email}.\n",
        )


def test_audit_without_breaches(api: Api) -> None:
    """Every invariant is printed with its figures, and the exit code is 0."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person)

    result = _flask(api, "audit")

    *lines, last = result.output.splitlines()
    assert result.exit_code == 0
    assert last == f"{len(lines)} invariants, 0 broken."
    assert all(line.startswith("ok  ") and "checked, figure" in line for line in lines)
    assert "1 checked, figure 9,299,895, 0 breaches" in lines[0]


def test_audit_with_a_breach(api: Api) -> None:
    """The row is printed, and the exit code is 1."""
    person = api.person()
    balances = VIRTUAL_BALANCES
    api.harness.core.database.transaction(
        lambda session: session.execute(update(balances).values(cash_balance=7))
    )

    result = _flask(api, "audit")

    assert result.exit_code == 1
    failed = [line for line in result.output.splitlines() if line.startswith("FAIL")]
    assert failed
    assert f"{len(failed)} broken." in result.output
    assert person.id.replace("-", "") in result.output
