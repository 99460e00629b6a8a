"""Answer lists as CSV files for spreadsheets, streamed in batches of rows.

UTF-8 with a byte order mark, because Excel would otherwise assume the system's code page. Column
names and the names of types, sides and states are English or Korean, by Accept-Language. Times are
in KST without offset, because spreadsheets sort only those; the column's name states the zone.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from io import StringIO
from itertools import chain
from typing import Any, TypeVar

from flask import Response, request

from trading.errors import ValidationFailed
from trading.exchange.time import KST
from trading.pagination import Page

MEDIA_TYPE = "text/csv"
BATCH_ROWS = 1_000

_BYTE_ORDER_MARK = "\ufeff"
# Characters that start a formula in spreadsheets, half- and full-width.
_FORMULA_SIGNS = tuple("=+-@＝＋－＠")
_MARGINS = ("\t", "\r", "\n")

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column that shows one attribute of each record.

    The attribute's name is the English one unless `english` is given. `korean_values` are the
    Korean names of an enumeration's values; other values are shown as they are.
    """

    attribute: str
    korean: str
    korean_values: Mapping[Any, str] = field(default_factory=dict)
    english: str | None = None
    is_time: bool = False

    def name(self, language: str) -> str:
        name = self.korean if language == "ko" else self.english or self.attribute
        return f"{name} (KST)" if self.is_time else name

    def cell(self, record: object, language: str) -> str:
        value = getattr(record, self.attribute)
        return _cell(self.korean_values.get(value, value) if language == "ko" else value)


def is_wanted() -> bool:
    """Return True if the client prefers CSV to JSON."""
    return request.accept_mimetypes.best_match(["application/json", MEDIA_TYPE]) == MEDIA_TYPE


def documentation(example: str) -> dict[str, Any]:
    """Return the OpenAPI members of an operation that also answers with a file."""
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}
    return {"responses": {200: {"content": content}}}


def read_pages(
    read: Callable[[C | None], Page[T]], *, cursor: C | None, parse: Callable[[str], C]
) -> Iterator[tuple[T, ...]]:
    """Yield the items of every page from a cursor on; `parse` reads the cursor of the next page.

    Raise ValidationFailed if the request has a limit: a file is complete, so it would be ignored.
    Each page is read in its own transaction, so a slow client keeps none open.
    """
    if "limit" in request.args:
        raise ValidationFailed(field="limit")
    return _pages(read, cursor, parse)


def respond(name: str, columns: Sequence[Column], batches: Iterable[Sequence[Any]]) -> Response:
    """Return batches of records as the file `<name>.csv`.

    The first batch is read here, so that an early failure becomes a problem response. If a later
    one fails, the connection is aborted, which shows the client that the file is incomplete.
    """
    language = _language()
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Content-Language": language,
        "Vary": "Accept, Accept-Language",
        "Cache-Control": "no-store",
    }
    head = _lines([[column.name(language) for column in columns]])
    rest = iter(batches)
    first = next(rest, ())
    parts = (
        _lines([[column.cell(record, language) for column in columns] for record in batch])
        for batch in chain([first], rest)
    )
    return Response(chain([_BYTE_ORDER_MARK + head], parts), mimetype=MEDIA_TYPE, headers=headers)


def _language() -> str:
    """Return the first of the client's languages that has column names, whatever its region."""
    accepted = (tag.partition("-")[0].lower() for tag, _ in request.accept_languages)
    return next((language for language in accepted if language in ("en", "ko")), "en")


def _pages(
    read: Callable[[C | None], Page[T]], cursor: C | None, parse: Callable[[str], C]
) -> Iterator[tuple[T, ...]]:
    while True:
        page = read(cursor)
        yield page.items
        if page.next_cursor is None:
            return
        cursor = parse(page.next_cursor)


def _lines(rows: list[list[str]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """Format a value for a spreadsheet: times in KST, and text never as a formula."""
    if isinstance(value, str):
        is_formula = value.lstrip().startswith(_FORMULA_SIGNS) or value.startswith(_MARGINS)
        return f"'{value}" if is_formula else value
    if isinstance(value, datetime):
        return f"{value.astimezone(KST):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, Decimal):
        return f"{value:z.6f}"
    return "" if value is None else str(value)
