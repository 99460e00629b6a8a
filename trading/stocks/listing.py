"""Stock listings: rows of a KRX file, or of the seed file in this package.

Accepts the column names of common English exports of KRX (``Code, ISU_CD, Name, Market, Close,
Stocks``) and KRX's Korean headers of 전종목 기본정보 and 전종목 시세, in UTF-8 (with or without
BOM) or CP949, which KRX uses for downloads.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import cast, get_args

from trading.exchange.price_grid import LEVERAGE_PERCENT_MAX, LimitRules, Market, StockKind
from trading.marketdata.stock_codes import product_code

_COLUMNS = {
    "code": ("Code", "단축코드", "종목코드"),
    "isin": ("ISU_CD", "표준코드"),
    "name": ("Name", "한글 종목약명", "한글종목약명", "종목명", "한글 종목명", "한글종목명"),
    "english_name": ("EnglishName", "영문 종목명", "영문종목명"),
    "market": ("Market", "시장구분"),
    "kind": ("Kind", "증권구분"),
    "sector": ("Sector", "업종명"),
    "close": ("Close", "종가"),
    "shares": ("Stocks", "상장주식수", "상장좌수"),
    "leverage": ("Leverage", "추적배수"),
    "listed_on": ("ListingDate", "상장일"),
    "in_liquidation": ("Liquidation", "정리매매"),
}
_LONGEST = {"name": 100, "english_name": 200, "sector": 50}
# KRX writes "2X 레버리지 (2)" and "일반 (1)".
_LEVERAGE = re.compile(
    r"(?P<alone>[+-]?\d(?:\.\d{1,2})?)[xX]?|[^()]*\((?P<in_parentheses>[+-]?\d(?:\.\d{1,2})?)\)",
    re.ASCII,
)
_ISIN = re.compile(r"[A-Z]{2}[0-9A-Z]{10}", re.ASCII)
_MARKETS = {"코스피": "KOSPI", "유가증권": "KOSPI", "코스닥": "KOSDAQ", "코넥스": "KONEX"}


class MalformedListing(Exception):
    """Invalid listing file; the message names the line and the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedStock:
    """Listed issue. ``reference_price`` is the close in won stated by the file, if any.

    ``leverage_percent`` (200 for a multiple of 2), ``listed_on`` and ``in_liquidation`` are None if
    the file does not state them.
    """

    code: str
    name: str
    market: Market
    kind: StockKind = "STOCK"
    isin: str | None = None
    english_name: str | None = None
    sector: str | None = None
    listed_shares: int | None = None
    reference_price: int | None = None
    leverage_percent: int | None = None
    listed_on: date | None = None
    in_liquidation: bool | None = None

    @property
    def limit_rules(self) -> LimitRules:
        return LimitRules(
            kind=self.kind,
            market=self.market,
            leverage_percent=self.leverage_percent or 100,
            listed_on=self.listed_on,
            in_liquidation=bool(self.in_liquidation),
        )


def read_listing(path: Path) -> list[ListedStock]:
    """Read all stocks of a CSV file.

    Raises MalformedListing for a missing column, code or market and for invalid values; OSError if
    the file is unreadable.
    """
    return list(_parse(_decode(path.read_bytes())))


def seed_listing() -> list[ListedStock]:
    """Return about forty well-known issues for a first start, with rounded reference prices."""
    return list(_parse((files("trading.stocks") / "seed_stocks.csv").read_text(encoding="utf-8")))


def _decode(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise MalformedListing("the file is neither UTF-8 nor CP949 text")


def _parse(text: str) -> Iterator[ListedStock]:
    rows = csv.DictReader(io.StringIO(text, newline=None))
    try:
        yield from _stocks(rows)
    except csv.Error as fault:
        raise MalformedListing(f"line {rows.line_num + 1}: {fault}") from None


def _stocks(rows: "csv.DictReader[str]") -> Iterator[ListedStock]:
    headers = {name.strip() for name in rows.fieldnames or ()}
    for needed in ("code", "name", "market"):
        if not headers.intersection(_COLUMNS[needed]):
            raise MalformedListing(
                f"line 1: no column for {needed} (one of {', '.join(_COLUMNS[needed])})"
            )
    seen: set[str] = set()
    for row in rows:
        stock = _stock(
            {(key or "").strip(): value for key, value in row.items()}, line=rows.line_num
        )
        if stock.code in seen:
            raise MalformedListing(f"line {rows.line_num}: {stock.code} is listed twice")
        seen.add(stock.code)
        yield stock


def _stock(row: Mapping[str, str | None], *, line: int) -> ListedStock:
    def text(field: str) -> str | None:
        return _text(row, field, line=line)

    def number(field: str) -> int | None:
        value = text(field)
        if value is None:
            return None
        digits = value.replace(",", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
            raise MalformedListing(f"line {line}: {field} is not a whole number")
        return int(digits) or None

    code, name, isin = product_code(text("code") or ""), text("name"), text("isin")
    if code is None:
        raise MalformedListing(f"line {line}: code is not a six-character stock code")
    if name is None:
        raise MalformedListing(f"line {line}: name is missing")
    if isin is not None and not _ISIN.fullmatch(isin):
        raise MalformedListing(f"line {line}: isin is not a twelve-character ISIN")
    return ListedStock(
        code=code,
        isin=isin,
        name=name,
        english_name=text("english_name"),
        market=_market(text("market") or "", line=line),
        kind=_kind(text("kind") or ""),
        sector=text("sector"),
        listed_shares=number("shares"),
        reference_price=number("close"),
        leverage_percent=_leverage(text("leverage"), line=line),
        listed_on=_day(text("listed_on"), line=line),
        in_liquidation=_yes_or_no(text("in_liquidation"), line=line),
    )


def _text(row: Mapping[str, str | None], field: str, *, line: int) -> str | None:
    """Return the first non-empty column of a field; None if there is none."""
    values = (row.get(column) for column in _COLUMNS[field])
    found = next(
        (value.strip() for value in values if isinstance(value, str) and value.strip()), None
    )
    if found is not None and len(found) > (limit := _LONGEST.get(field, 40)):
        raise MalformedListing(f"line {line}: {field} is longer than {limit} characters")
    return found


def _market(text: str, *, line: int) -> Market:
    # KRX appends the segment to the market: "KOSDAQ GLOBAL" is KOSDAQ.
    first_word = text.split(maxsplit=1)[0] if text.split() else ""
    market = _MARKETS.get(first_word, first_word.upper())
    if market not in get_args(Market):
        raise MalformedListing(f"line {line}: market is not one of {', '.join(get_args(Market))}")
    return cast("Market", market)


def _kind(text: str) -> StockKind:
    upper = text.upper()
    return cast("StockKind", upper) if upper in ("ETF", "ETN") else "STOCK"


def parse_leverage(text: str) -> int:
    """Return a multiple such as "2", "-1.5" or KRX's "2X 인버스 (-2)" in percent.

    Raise ValueError if it is none, is zero, or is beyond the largest multiple.
    """
    found = _LEVERAGE.fullmatch(text.strip())
    if found is None:
        raise ValueError("not a multiple")
    percent = int(Decimal(found["in_parentheses"] or found["alone"]) * 100)
    if not percent or abs(percent) > LEVERAGE_PERCENT_MAX:
        raise ValueError("not a multiple of an existing fund")
    return percent


def _leverage(text: str | None, *, line: int) -> int | None:
    try:
        return None if text is None else parse_leverage(text)
    except ValueError:
        raise MalformedListing(
            f"line {line}: leverage is not a multiple of at most {LEVERAGE_PERCENT_MAX // 100}"
        ) from None


def _day(text: str | None, *, line: int) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.replace("/", "-").replace(".", "-"))
    except ValueError:
        raise MalformedListing(f"line {line}: listed_on is not a date") from None


def _yes_or_no(text: str | None, *, line: int) -> bool | None:
    if text is None:
        return None
    if text.upper() not in ("Y", "N"):
        raise MalformedListing(f"line {line}: in_liquidation is not Y or N")
    return text.upper() == "Y"
