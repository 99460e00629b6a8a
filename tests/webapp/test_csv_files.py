"""Lists as CSV files: complete, safe, consistent, and streamed with little memory."""

import csv
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from io import StringIO
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import insert, text
from werkzeug.test import TestResponse

from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.webapp.client import HANGUL, Api, Person, data_of, problem_of
from trading.db.ids import new_id
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.time import KST
from trading.ledger.model import TransactionType
from trading.ledger.tables import TRANSACTIONS, VIRTUAL_BALANCES
from trading.orders.model import EndReason, OrderStatus
from trading.orders.tables import ORDERS
from trading.pagination import Page
from webapp.api import labels
from webapp.http import csv_files

PATH = "/trading/transactions"
ORDER_PATH = "/trading/orders"
CSV = {"Accept": "text/csv"}
KOREAN = {**CSV, "Accept-Language": "ko"}
START = 10_000_000
ENGLISH = [
    "sequence", "transaction_date (KST)", "transaction_type", "stock_id", "stock_name", "quantity",
    "price", "amount", "commission", "tax",
    "realized_profit", "cash_balance_before", "cash_balance_after", "order_id", "description", "id",
]  # fmt: skip


def rows_of(answer: TestResponse, name: str = "transactions") -> list[list[str]]:
    """Check the form of a CSV response and return its rows."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert (answer.mimetype, answer.mimetype_params) == ("text/csv", {"charset": "utf-8"})
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
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


def orders_of(api: Api, who: Person, query: str = "", **headers: str) -> list[dict[str, str]]:
    """Return the rows of an orders file by column name."""
    head, *rows = rows_of(api.get(ORDER_PATH + query, who, headers={**CSV, **headers}), "orders")
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_file_contains_the_ledger(api: Api) -> None:
    """Every entry as in JSON, newest first, with sortable times and empty cells for null."""
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
        assert shown.pop("transaction_date (KST)") == "2026-11-20 10:00:00"
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


def test_file_contains_the_orders(api: Api) -> None:
    """Every order as in JSON, newest first, with the costs and the profit of its fills."""
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 4)
    api.harness.run_all()
    waiting = api.limit_order(person, client_order_id="=1+1")
    cancelled = api.limit_order(person)
    api.harness.clock.advance(seconds=90)
    api.ask("DELETE", f"{ORDER_PATH}/{cancelled['id']}", person)
    items = data_of(api.get(ORDER_PATH, person))["items"]

    rows = orders_of(api, person)

    assert [row["id"] for row in rows] == [item["id"] for item in items]
    for row, item in zip(rows, items, strict=True):
        fills = item["executions"]
        assert int(row["commission"]) == sum(fill["commission"] for fill in fills)
        assert int(row["tax"]) == sum(fill["tax"] for fill in fills)
        assert row["accepted_at (KST)"] == "2026-11-20 10:00:00"
        for name in set(row) & set(item) - {"client_order_id"}:
            assert row[name] == ("" if item[name] is None else str(item[name])), name
    last, pending, sale, purchase = rows
    assert last["finished_at (KST)"] == "2026-11-20 10:01:30"
    assert (last["status"], last["reason"]) == ("CANCELLED", "cancelled-by-user")
    assert (pending["id"], pending["client_order_id"]) == (waiting["id"], "'=1+1")
    assert (pending["finished_at (KST)"], pending["reason"]) == ("", "")
    assert purchase["realized_profit"] == ""
    assert int(sale["realized_profit"]) < 0


def test_korean_file_has_korean_names(sqlite_api: Api) -> None:
    """Columns, types, sides and states; codes, numbers and sortable times stay."""
    api = sqlite_api
    person = api.person()
    api.harness.tick(70_000)
    api.bought(person, 3)
    api.order(person, "SELL", 1)
    api.harness.run_all()
    waiting = api.limit_order(person, time_in_force="GTC")
    api.ask("DELETE", f"{ORDER_PATH}/{waiting['id']}", person)

    last, sale, purchase = orders_of(api, person, **KOREAN)
    assert (last["매수·매도"], last["주문 유형"], last["주문 유효 조건"], last["상태"]) == (
        "매수", "지정가", "취소할 때까지", "취소",
    )  # fmt: skip
    assert last["종료 이유"] == "고객 요청으로 주문이 취소되었습니다."
    assert (sale["매수·매도"], sale["주문 유형"], sale["상태"]) == ("매도", "시장가", "체결")
    assert (purchase["접수 일시 (KST)"], purchase["종목 코드"], purchase["주문 수량"]) == (
        "2026-11-20 10:00:00", "A005930", "3",
    )  # fmt: skip
    assert purchase["종료 이유"] == ""
    head, *ledger = rows_of(api.get(PATH, person, headers=KOREAN))
    assert head[1] == "거래 일시 (KST)"
    assert [row[2] for row in ledger] == ["매도", "매수", "입금"]


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (labels.SIDES, Side),
        (labels.ORDER_TYPES, OrderType),
        (labels.TIMES_IN_FORCE, TimeInForce),
        (labels.ORDER_STATUSES, OrderStatus),
        (labels.END_REASONS, EndReason),
        (labels.TRANSACTION_TYPES, TransactionType),
    ],
)
def test_every_value_has_a_korean_name(names: dict[Any, str], values: type[StrEnum]) -> None:
    assert set(names) == set(values)
    assert len(set(names.values())) == len(names)
    assert all(HANGUL.match(name) for name in names.values())


def test_filters_of_the_list_apply_to_the_orders_file(api: Api) -> None:
    person, other = api.person(), api.person()
    api.harness.tick(70_000)
    api.harness.tick(200_000, HYNIX)
    filled = api.bought(person, 1)
    waiting = api.limit_order(person, client_order_id="mine")
    cancelled = api.limit_order(person, code=HYNIX, price=150_000)
    api.ask("DELETE", f"{ORDER_PATH}/{cancelled['id']}", person)
    at = (api.harness.clock().astimezone(KST) - timedelta(hours=1)).isoformat()

    for query, expected in {
        "": [cancelled, waiting, filled],
        "?status=FILLED&status=CANCELLED": [cancelled, filled],
        "?open=true": [waiting],
        "?stock_code=000660": [cancelled],
        "?client_order_id=mine": [waiting],
        "?side=SELL": [],
        "?from=2026-11-21": [],
        f"?filled_from={at}": [filled],
        f"?finished_to={at}": [],
        f"?cursor={UUID(cancelled['id']).hex}": [waiting, filled],
    }.items():
        rows = orders_of(api, person, query)
        assert [row["id"] for row in rows] == [order["id"] for order in expected], query
    assert orders_of(api, other) == []
    for query, code in {
        "limit=5": "validation-failed",
        "status=x": "validation-failed",
        "colour=red": "unknown-query-parameter",
    }.items():
        problem_of(api.get(f"{ORDER_PATH}?{query}", person, headers=CSV), code)
    problem_of(api.get(ORDER_PATH, headers=CSV), "unauthorized")


@pytest.mark.parametrize(
    ("group_by", "english", "korean", "key"),
    [
        ("day", "day", "날짜", "2026-11-20"),
        ("month", "month", "월", "2026-11"),
        ("year", "year", "연도", "2026"),
        ("stock", "stock_code", "종목 코드", "A005930"),
    ],
)
def test_file_contains_realized_profit(
    api: Api, group_by: str, english: str, korean: str, key: str
) -> None:
    """Every group as in JSON, with the stock's name where stocks are the groups."""
    person, path = api.person(), f"/trading/realized-profit-loss?group_by={group_by}"
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 4)
    api.harness.run_all()
    (item,) = data_of(api.get(path, person))["items"]

    head, row = rows_of(api.get(path, person, headers=CSV), "realized-profit")
    shown = dict(zip(head, row, strict=True))
    assert shown.pop(english) == key == item["key"]
    assert ("stock_name" in shown) == (group_by == "stock")
    assert shown == {name: str(item[name]) for name in shown}
    assert int(shown["realized_profit"]) < 0
    head, *_ = rows_of(api.get(path, person, headers=KOREAN), "realized-profit")
    assert head[0] == korean
    assert all(HANGUL.search(name) for name in head)
    for query, code in {
        "limit=5": "validation-failed",
        "form=x": "unknown-query-parameter",
    }.items():
        problem_of(api.get(f"{path}&{query}", person, headers=CSV), code)


def test_realized_profit_file_has_every_stock(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several batches, in the order of the list."""
    monkeypatch.setattr(csv_files, "BATCH_ROWS", 1)
    person, path = api.person(), "/trading/realized-profit-loss?group_by=stock"
    for code in (HYNIX, SAMSUNG):
        api.harness.tick(70_000, code)
        api.bought(person, 2, code)
        api.order(person, "SELL", 1, code)
    api.harness.run_all()
    _, *rows = rows_of(api.get(path, person, headers=CSV), "realized-profit")
    assert [row[0] for row in rows] == sorted((HYNIX, SAMSUNG))


def test_file_contains_the_history_of_the_account(api: Api) -> None:
    """Every day as in JSON; the current one is provisional."""
    person, path = api.person(), "/portfolio/history"
    api.harness.tick(70_000)
    api.bought(person, 10)
    items = data_of(api.get(path, person))["items"]

    head, *rows = rows_of(api.get(path, person, headers=CSV), "portfolio-history")

    assert [row[0] for row in rows] == [item["day"] for item in items]
    for row, item in zip(rows, items, strict=True):
        shown = dict(zip(head, row, strict=True))
        assert shown.pop("provisional") == str(item["provisional"]).upper()
        assert shown == {name: "" if item[name] is None else str(item[name]) for name in shown}
    assert rows[-1][head.index("provisional")] == "TRUE"
    head, *_ = rows_of(api.get(path, person, headers=KOREAN), "portfolio-history")
    assert all(HANGUL.search(name) for name in head)
    for query, code in {
        "limit=5": "unknown-query-parameter",
        "from=x": "validation-failed",
    }.items():
        problem_of(api.get(f"{path}?{query}", person, headers=CSV), code)


def test_orders_file_has_every_order_once(api: Api) -> None:
    """More orders than one batch holds, one of them accepted during the transfer."""
    person, rows = api.person(), 2 * csv_files.BATCH_ROWS + 1
    api.harness.tick(70_000)
    template = data_of(api.order(person, quantity=1, order_type="LIMIT", price=60_000), 201)
    row = api.harness.do(
        lambda session: dict(
            session.execute(ORDERS.select().where(ORDERS.c.id == UUID(template["id"])))
            .mappings()
            .one()
        )
    )
    more = [{**row, "id": new_id(), "client_order_id": str(number)} for number in range(rows - 1)]
    api.harness.do(lambda session: session.execute(insert(ORDERS), more))
    answer = api.client.get(
        f"/api/v1{ORDER_PATH}", headers={**person.headers, **CSV}, buffered=False
    )
    content = ""
    for part in answer.iter_encoded():
        if not content:
            api.limit_order(person)
        content += part.decode("utf-8-sig")
    shown = [UUID(line["id"]) for line in csv.DictReader(StringIO(content, newline=""))]
    assert shown == sorted((one["id"] for one in [row, *more]), reverse=True)


def test_batches_are_read_one_at_a_time() -> None:
    """The next page is read only after the client took the last one."""
    read: list[int | None] = []

    def page(cursor: int | None) -> Page[object]:
        read.append(cursor)
        return Page((object(),), str(len(read)))

    def batches() -> Iterator[Any]:
        return csv_files.read_pages(page, cursor=None, parse=int)

    with Flask(__name__).test_request_context():
        answer = csv_files.respond("endless", [], batches())
    for number, _ in zip(count(1), answer.iter_encoded(), strict=False):
        assert len(read) <= number
        if number == 5:
            break
