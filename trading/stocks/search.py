"""Stock search by typed text: a pure search over a listing in memory."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from heapq import nsmallest
from itertools import accumulate

from trading.marketdata.stock_codes import product_code
from trading.stocks.hangul import hangul_of_keys, normalize_hangul, search_pattern
from trading.stocks.model import StockStatus
from trading.text import drop_invisible

_CODE = re.compile(r"(?<![0-9A-Z])A?([0-9][0-9A-Z]{5})(?![0-9A-Z])", re.ASCII)
_CODE_WITH_BRACKETS = re.compile(rf"[(\[]?\s*{_CODE.pattern}\s*[)\]]?", re.ASCII)
_KEYS = re.compile(r"[0-9]*[A-Za-z][0-9A-Za-z]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStock:
    """Listed stock. ``market_value`` is shares x reference price in won, 0 if unknown.

    ``aliases`` are other names by which people search it.
    """

    code: str
    name: str
    english_name: str | None
    market: str
    kind: str
    status: StockStatus
    market_value: int
    aliases: tuple[str, ...] = ()


class _Match(IntEnum):
    """How a query matches a stock, best first."""

    CODE = 0
    NAME = 1
    PREFIX = 2
    PART = 3


class StockIndex:
    """Immutable search index of a listing. Thread-safe.

    The search texts of all stocks are lines of one text, so that a pattern scans them in one pass.
    """

    def __init__(self, stocks: Iterable[FoundStock]) -> None:
        # Sorted by rank, so that a search only compares the kind of match.
        self._stocks = sorted(stocks, key=_sort_key)
        self._by_code = {stock.code: stock for stock in self._stocks}
        self._lines = [
            (rank, text) for rank, stock in enumerate(self._stocks) for text in _texts(stock)
        ]
        self._text = "\n".join(text for _, text in self._lines)
        self._starts = list(accumulate((len(text) + 1 for _, text in self._lines), initial=0))

    def __len__(self) -> int:
        return len(self._stocks)

    def search(self, query: str, *, limit: int) -> list[FoundStock]:
        """Return up to ``limit`` stocks: exact code, exact name, prefixes, then substrings.

        Searches the Korean name, its initial consonants, the English name, the aliases, and the
        code with and without its A. Ignores case, width, spaces and invisible characters. A query
        of spaces finds nothing. If nothing matches, a code inside the query counts, then the rest
        of the query, then what its Latin keys type on a Korean keyboard.
        """
        found = self._matching(query, limit=limit)
        if found:
            return found
        visible = unicodedata.normalize("NFKC", drop_invisible(query))
        known = (self._by_code.get(f"A{code[1]}") for code in _CODE.finditer(visible.upper()))
        named = list(dict.fromkeys(stock for stock in known if stock is not None))[:limit]
        return named or next(filter(None, self._guesses(visible, limit=limit)), [])

    def _guesses(self, query: str, *, limit: int) -> Iterator[list[FoundStock]]:
        yield self._matching(_CODE_WITH_BRACKETS.sub("", query.upper()), limit=limit)
        keys = "".join(query.split())
        if _KEYS.fullmatch(keys):
            yield self._matching(hangul_of_keys(keys), limit=limit)
            # As typed with Caps Lock.
            yield self._matching(hangul_of_keys(keys.lower()), limit=limit)

    def _matching(self, query: str, *, limit: int) -> list[FoundStock]:
        normalized = normalize_hangul(query)
        if not normalized:
            return []
        code = product_code(normalized)
        matches: dict[int, _Match] = {}
        for found in search_pattern(query).finditer(self._text):
            line = bisect_right(self._starts, found.start()) - 1
            rank, text = self._lines[line]
            if self._stocks[rank].code == code:
                match = _Match.CODE
            elif text == normalized:
                match = _Match.NAME
            else:
                match = _Match.PREFIX if found.start() == self._starts[line] else _Match.PART
            matches[rank] = min(match, matches.get(rank, match))
        best = nsmallest(limit, ((match, rank) for rank, match in matches.items()))
        return [self._stocks[rank] for _, rank in best]


def _sort_key(stock: FoundStock) -> tuple[bool, int, str, str]:
    """Sort key of equal matches: listed before delisted, then by market value, then by name."""
    return stock.status is StockStatus.DELISTED, -stock.market_value, stock.name, stock.code


def _texts(stock: FoundStock) -> tuple[str, ...]:
    """Return the search texts of a stock: names, aliases, and both forms of the code."""
    return tuple(
        normalize_hangul(text)
        for text in (stock.code[1:], stock.code, stock.name, stock.english_name, *stock.aliases)
        if text
    )
