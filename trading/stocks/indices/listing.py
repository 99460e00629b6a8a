"""Daily index closes from a CSV file in UTF-8, with or without BOM.

Columns: ``Date`` (2026-01-02) and ``Close`` (4309.63).
"""

import csv
import io
import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from trading.exchange.calendar import LAST_KNOWN_DAY

# Base date of KOSPI (100 points), the oldest close of the supported indices.
_FIRST_DAY = date(1980, 1, 4)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_POINTS = re.compile(r"(\d{1,7}|\d{1,3}(,\d{3}){1,2})(\.\d{1,10})?", re.ASCII)


class MalformedIndexFile(Exception):
    """Invalid file of closes; the message lists every faulty line."""


def read_index_closes(path: Path) -> dict[date, int]:
    """Read closes by day, in hundredths of a point, rounded half up.

    Raises MalformedIndexFile with all faults; OSError if the file is unreadable.
    """
    try:
        rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=None))
        missing = [name for name in ("Date", "Close") if name not in (rows.fieldnames or ())]
        if missing:
            raise MalformedIndexFile(f"line 1: no column {' and no column '.join(missing)}")
        closes, faults = _closes(rows)
    except UnicodeDecodeError:
        raise MalformedIndexFile("the file is not UTF-8 text") from None
    except csv.Error as fault:
        raise MalformedIndexFile(f"line {rows.line_num + 1}: {fault}") from None
    if faults or not closes:
        raise MalformedIndexFile("\n".join(faults) or "line 2: the file has no rows")
    return closes


def _closes(rows: "csv.DictReader[str]") -> tuple[dict[date, int], list[str]]:
    """Return the closes of the rows, and their faults."""
    closes: dict[date, int] = {}
    faults = []
    for row in rows:
        day, close = _day((row["Date"] or "").strip()), _hundredths((row["Close"] or "").strip())
        if day is None:
            faults.append(
                f"line {rows.line_num}: Date is not a day of the form YYYY-MM-DD since {_FIRST_DAY}"
            )
        elif close is None:
            faults.append(f"line {rows.line_num}: Close is not a number of points above 0")
        elif day in closes:
            faults.append(f"line {rows.line_num}: {day} is listed twice")
        else:
            closes[day] = close
    return closes, faults


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None
    return day if day and _FIRST_DAY <= day <= LAST_KNOWN_DAY else None


def _hundredths(text: str) -> int | None:
    if not _POINTS.fullmatch(text):
        return None
    points = Decimal(text.replace(",", ""))
    return int((points * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)) or None
