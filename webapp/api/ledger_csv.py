"""Stream an account's ledger as CSV for spreadsheets, in batches of rows.

UTF-8 with a byte order mark, because Excel would otherwise assume the system's code page. Column
names are English or Korean, by Accept-Language.
"""

import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from itertools import chain

from flask import Response, request

from trading.exchange.time import KST
from trading.ledger.records import TransactionRecord
from trading.pagination import Page

MEDIA_TYPE = "text/csv"
BATCH_ROWS = 1_000

_BYTE_ORDER_MARK = "\ufeff"
# Characters that start a formula in spreadsheets, half- and full-width.
_FORMULA_SIGNS = tuple("=+-@＝＋－＠")
_MARGINS = ("\t", "\r", "\n")

# Attribute of the record, English name, Korean name.
_COLUMNS = (
    ("sequence", "sequence", "번호"),
    ("transaction_date", "transaction_date", "거래 일시"),
    ("transaction_type", "transaction_type", "거래 유형"),
    ("stock_id", "stock_id", "종목 코드"),
    ("stock_name", "stock_name", "종목명"),
    ("quantity", "quantity", "수량"),
    ("price", "price", "단가"),
    ("amount", "amount", "거래 금액"),
    ("commission", "commission", "수수료"),
    ("tax", "tax", "세금"),
    ("realized_profit", "realized_profit", "실현 손익"),
    ("cash_balance_before", "cash_balance_before", "거래 전 예수금"),
    ("cash_balance_after", "cash_balance_after", "거래 후 예수금"),
    ("order_id", "order_id", "주문 번호"),
    ("description", "description", "적요"),
    ("id", "id", "거래 번호"),
)

ReadPage = Callable[[int | None], Page[TransactionRecord]]


def is_wanted() -> bool:
    """Return True if the client prefers CSV to JSON."""
    return request.accept_mimetypes.best_match(["application/json", MEDIA_TYPE]) == MEDIA_TYPE


def respond(read: ReadPage, *, before_sequence: int | None) -> Response:
    """Return the pages that `read` provides as one file; `read` takes the sequence before which to
    begin.

    The first page is read here, so that an early failure becomes a problem response. Each page is
    read in its own transaction, so a slow client keeps none open. If a later page fails, the
    connection is aborted, which shows the client that the file is incomplete.
    """
    language = _language()
    headers = {
        "Content-Disposition": 'attachment; filename="transactions.csv"',
        "Content-Language": language,
        "Vary": "Accept, Accept-Language",
        "Cache-Control": "no-store",
    }
    names = [korean if language == "ko" else english for _, english, korean in _COLUMNS]
    parts = chain([_BYTE_ORDER_MARK + _lines([names])], _batches(read, read(before_sequence)))
    return Response(parts, mimetype=MEDIA_TYPE, headers=headers)


def _language() -> str:
    """Return the first of the client's languages that has column names, whatever its region."""
    accepted = (tag.partition("-")[0].lower() for tag, _ in request.accept_languages)
    return next((language for language in accepted if language in ("en", "ko")), "en")


def _batches(read: ReadPage, first: Page[TransactionRecord]) -> Iterator[str]:
    page = first
    while True:
        yield _lines(
            [[_cell(getattr(record, member)) for member, _, _ in _COLUMNS] for record in page.items]
        )
        if page.next_cursor is None:
            return
        page = read(int(page.next_cursor))


def _lines(rows: list[list[str]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """Format a value for a spreadsheet: times in KST, and text never as a formula."""
    if isinstance(value, str):
        return (
            f"'{value}"
            if value.lstrip().startswith(_FORMULA_SIGNS) or value.startswith(_MARGINS)
            else value
        )
    if isinstance(value, datetime):
        return value.astimezone(KST).isoformat(timespec="seconds")
    return "" if value is None else str(value)
