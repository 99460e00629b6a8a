"""The ledger as CSV: complete, safe, consistent, and streamed with little memory."""

import csv
import tracemalloc
from io import StringIO
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from werkzeug.test import TestResponse

from tests.webapp.client import Api, Person, data_of, problem_of
from trading.db.ids import new_id
from trading.ledger.tables import TRANSACTIONS, VIRTUAL_BALANCES

PATH = "/trading/transactions"
CSV = {"Accept": "text/csv"}
START = 10_000_000
ENGLISH = [
    "sequence", "transaction_date", "transaction_type", "stock_id", "stock_name", "quantity",
    "price", "amount", "commission", "tax",
    "realized_profit", "cash_balance_before", "cash_balance_after", "order_id", "description", "id",
]  # fmt: skip


def rows_of(answer: TestResponse) -> list[list[str]]:
    """Check the form of a CSV response and return its rows."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert (answer.mimetype, answer.mimetype_params) == ("text/csv", {"charset": "utf-8"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="transactions.csv"'
    content = answer.get_data()
    assert content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(StringIO(content.decode("utf-8-sig"), newline="")))


def fill(api: Api, person: Person, rows: int) -> None:
    """Give an account a long ledger of 1-won deposits after its first entry."""
    user_id, now = UUID(person.id), api.harness.clock()
    ledger = [
        {
            "id": new_id(), "user_id": user_id, "sequence": number + 2,
            "transaction_type": "DEPOSIT", "stock_code": None, "order_id": None,
            "execution_id": None, "quantity": None, "price": None, "amount": 1, "commission": 0,
            "tax": 0, "cash_before": START + number,
            "cash_after": START + number + 1, "description": None, "transaction_date": now,
            "credit_of": None, "reversal_of": None,
        }
        for number in range(rows)
    ]  # fmt: skip
    balances = VIRTUAL_BALANCES
    for begin in range(0, rows, 10_000):
        part = ledger[begin : begin + 10_000]
        api.harness.do(lambda session, part=part: session.execute(insert(TRANSACTIONS), part))
    grown = balances.update().where(balances.c.user_id == user_id)
    api.harness.do(
        lambda session: session.execute(
            grown.values(cash_balance=START + rows, transaction_count=rows + 1)
        )
    )


def test_file_contains_the_ledger(api: Api) -> None:
    """Every entry as in JSON, newest first, with times in KST and empty cells for null."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 4)
    api.harness.run_all()
    items = data_of(api.get(PATH, person))["items"]

    head, *rows = rows_of(api.get(PATH, person, headers=CSV))

    assert head == ENGLISH
    assert [row[0] for row in rows] == ["3", "2", "1"]
    for row, item in zip(rows, items, strict=True):
        shown = dict(zip(head, row, strict=True))
        assert shown.pop("transaction_date") == "2026-11-20T10:00:00+09:00"
        assert shown == {name: "" if item[name] is None else str(item[name]) for name in shown}


@pytest.mark.parametrize(
    ("accept_language", "language", "first"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko", "번호"),
        ("ko", "ko", "번호"),
        ("en-US,ko;q=0.5", "en", "sequence"),
        ("fr", "en", "sequence"),
        (None, "en", "sequence"),
    ],
)
def test_column_names_follow_accept_language(
    sqlite_api: Api, accept_language: str | None, language: str, first: str
) -> None:
    asked = {**CSV, **({"Accept-Language": accept_language} if accept_language else {})}
    answer = sqlite_api.get(PATH, sqlite_api.person(), headers=asked)
    assert rows_of(answer)[0][0] == first
    assert answer.headers["Content-Language"] == language
    assert set(answer.headers["Vary"].split(", ")) == {"Accept", "Accept-Language"}


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("*/*", "application/json"), ("text/html", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("text/csv;q=0.1, application/json", "application/json"), ("text/*", "text/csv"),
        ("", "application/json"), (";;;,=", "application/json"),
    ],
)  # fmt: skip
def test_json_is_the_default(sqlite_api: Api, accept: str, mimetype: str) -> None:
    assert (
        sqlite_api.get(PATH, sqlite_api.person(), headers={"Accept": accept}).mimetype == mimetype
    )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("=1+1", "'=1+1"), ("+82", "'+82"), ("-2", "'-2"), ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"), ("\t=1", "'\t=1"), ("\r=1", "'\r=1"),
        ("＝1", "'＝1"), ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("1=1", "1=1"), ("배당, 2차", "배당, 2차"), ('"a"', '"a"'), ("", ""), ("\n=1", "'\n=1"),
    ],
)  # fmt: skip
def test_text_is_never_a_formula(sqlite_api: Api, written: str, shown: str) -> None:
    """Names and descriptions that start like a formula are escaped."""
    person = sqlite_api.person()
    change = text("UPDATE transactions SET description = :written")
    sqlite_api.harness.do(lambda session: session.execute(change, {"written": written}))
    _, (*_, description, _) = rows_of(sqlite_api.get(PATH, person, headers=CSV))
    assert description == shown


def test_loss_stays_a_number(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    sqlite_api.bought(person, 1)
    sqlite_api.harness.tick(60_000)
    sqlite_api.order(person, "SELL", 1)
    sqlite_api.harness.run_all()
    _, sale, *_ = rows_of(sqlite_api.get(PATH, person, headers=CSV))
    assert int(sale[ENGLISH.index("realized_profit")]) < 0


def test_filters_apply_and_limit_is_refused(api: Api) -> None:
    person, other = api.person(), api.person()
    api.harness.tick(70_000)
    api.bought(person, 1)
    for query, rows in {
        "": 2,
        "?transaction_type=BUY": 1,
        "?stock_code=005930": 1,
        "?from=2026-11-21": 0,
        "?cursor=2": 1,
    }.items():
        assert len(rows_of(api.get(PATH + query, person, headers=CSV))) == rows + 1, query
    assert len(rows_of(api.get(PATH, other, headers=CSV))) == 2
    problem_of(api.get(f"{PATH}?limit=5", person, headers=CSV), "validation-failed")
    problem_of(api.get(f"{PATH}?from=x", person, headers=CSV), "validation-failed")
    problem_of(api.get(PATH, headers=CSV), "unauthorized")


def test_many_rows_take_little_memory_and_are_consistent(api: Api) -> None:
    """Entries made during the transfer are not included, and no entry is included twice."""
    person, rows = api.person(), 20_000
    fill(api, person, rows)
    tracemalloc.start()
    answer = api.client.get(f"/api/v1{PATH}", headers={**person.headers, **CSV}, buffered=False)
    size, numbers = 0, []
    for part in answer.iter_encoded():
        lines = part.decode("utf-8-sig").splitlines()
        numbers += [int(line.partition(",")[0]) for line in lines if line[0].isdigit()]
        if not size:
            api.post("/balance/deposit", person, {"amount": 1})
        size += len(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numbers == list(range(rows + 1, 0, -1))
    assert size > 2_000_000
    assert peak - len(numbers) * 40 < 4_500_000, f"{peak:,} B for a file of {size:,} B"
