"""Daily closes of an index from a CSV file with the columns ``Date`` (2026-01-02) and ``Close`` (4309.63), in UTF-8 with or without BOM."""

import csv
import io
import re
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from trading.exchange.calendar import LAST_KNOWN_DAY

# The day on which KOSPI was set to 100 points, the oldest of which an exchange here has a close.
_FIRST_DAY = date(1980, 1, 4)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_POINTS = re.compile(r"(\d{1,7}|\d{1,3}(,\d{3}){1,2})(\.\d{1,10})?", re.ASCII)


class MalformedIndexFile(Exception):
    """A file of closes that can't be read: the message names every line that is wrong."""


def read_index_closes(path: Path) -> dict[date, int]:
    """The closes by day, in hundredths of a point, half a hundredth rounded up. MalformedIndexFile with all faults; OSError when unreadable."""
    try:
        rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=None))
        missing = [name for name in ("Date", "Close") if name not in (rows.fieldnames or ())]
        if missing:
            raise MalformedIndexFile(f"line 1: no column {' and no column '.join(missing)}")
        closes, faults = _closes(rows)
    except UnicodeDecodeError:
        raise MalformedIndexFile("the file is no UTF-8 text") from None
    except csv.Error as fault:
        raise MalformedIndexFile(f"line {rows.line_num + 1}: {fault}") from None
    if faults or not closes:
        raise MalformedIndexFile("\n".join(faults) or "line 2: there is no day")
    return closes


def _closes(rows: "csv.DictReader[str]") -> tuple[dict[date, int], list[str]]:
    """What the rows say, and what is wrong with them."""
    closes: dict[date, int] = {}
    faults = []
    for row in rows:
        day, close = _day((row["Date"] or "").strip()), _hundredths((row["Close"] or "").strip())
        if day is None:
            faults.append(
                f"line {rows.line_num}: Date is no day of the form YYYY-MM-DD since {_FIRST_DAY}"
            )
        elif close is None:
            faults.append(f"line {rows.line_num}: Close is no number of points above 0")
        elif day in closes:
            faults.append(f"line {rows.line_num}: {day} is there twice")
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
