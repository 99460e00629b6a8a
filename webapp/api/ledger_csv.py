"""An account's ledger as CSV for spreadsheets, streamed a batch of rows at a time.

UTF-8 with a byte order mark, without which Excel takes it for the machine's own code page. Column names are English, or Korean for whoever asks for Korean.
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
# What a spreadsheet takes for the beginning of a formula, in either width.
_FORMULA_SIGNS = tuple("=+-@＝＋－＠")
_MARGINS = ("\t", "\r", "\n")

# Member of the record, English and Korean name.
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
    """Whether the client prefers CSV to JSON."""
    return request.accept_mimetypes.best_match(["application/json", MEDIA_TYPE]) == MEDIA_TYPE


def respond(read: ReadPage, *, before_sequence: int | None) -> Response:
    """The pages that ``read`` gives, each for the sequence before which it begins, as one file.

    The first is read here, so that what goes wrong at once is answered as a problem. Each is read in a transaction of its own: none is held while
    a slow client takes its time. When a later one can't be read the connection breaks, and the client knows that the file is not whole.
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
    """The first of the client's languages that the columns have names in, whatever its region."""
    spoken = (tag.partition("-")[0].lower() for tag, _ in request.accept_languages)
    return next((language for language in spoken if language in ("en", "ko")), "en")


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
    """A value as a spreadsheet should show it: times in Korea's, and text never as a formula."""
    if isinstance(value, str):
        return (
            f"'{value}"
            if value.lstrip().startswith(_FORMULA_SIGNS) or value.startswith(_MARGINS)
            else value
        )
    if isinstance(value, datetime):
        return value.astimezone(KST).isoformat(timespec="seconds")
    return "" if value is None else str(value)
