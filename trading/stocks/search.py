"""Finding stocks by what people type, best first: a pure search through a listing that is held in memory."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from heapq import nsmallest
from itertools import accumulate

from trading.marketdata.stock_codes import product_code
from trading.stocks.hangul import normalize_hangul, search_pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStock:
    """A stock of the master data. ``market_value`` is shares times reference price in won, 0 where either is unknown."""

    code: str
    name: str
    english_name: str | None
    market: str
    kind: str
    status: str
    market_value: int


class _Match(IntEnum):
    """How a query meets a stock, the best first."""

    CODE = 0
    NAME = 1
    PREFIX = 2
    PART = 3


class StockIndex:
    """A listing made ready to be searched. Never changed, so threads may share it.

    All texts of all stocks are the lines of one text, which a pattern runs through at once.
    """

    def __init__(self, stocks: Iterable[FoundStock]) -> None:
        # In the order of answers already: only how well each is met is left to compare.
        self._stocks = sorted(stocks, key=_rank)
        self._lines = [
            (place, text) for place, stock in enumerate(self._stocks) for text in _texts(stock)
        ]
        self._text = "\n".join(text for _, text in self._lines)
        self._starts = list(accumulate((len(text) + 1 for _, text in self._lines), initial=0))

    def __len__(self) -> int:
        return len(self._stocks)

    def search(self, query: str, *, limit: int) -> list[FoundStock]:
        """At most ``limit`` stocks: that of exactly this code, those of exactly this name, those that begin with the query, those that contain it.

        Looked through are the Korean name, its initial consonants, the English name, and the code with or without its A. Case, width and spaces
        make no difference. A query of spaces alone finds nothing.
        """
        wanted = normalize_hangul(query)
        if not wanted:
            return []
        code = product_code(wanted)
        met: dict[int, _Match] = {}
        for found in search_pattern(query).finditer(self._text):
            line = bisect_right(self._starts, found.start()) - 1
            place, text = self._lines[line]
            if self._stocks[place].code == code:
                match = _Match.CODE
            elif text == wanted:
                match = _Match.NAME
            else:
                match = _Match.PREFIX if found.start() == self._starts[line] else _Match.PART
            met[place] = min(match, met.get(place, match))
        best = nsmallest(limit, ((match, place) for place, match in met.items()))
        return [self._stocks[place] for _, place in best]


def _rank(stock: FoundStock) -> tuple[bool, int, str, str]:
    """The order of stocks that a query meets alike: those that are still listed first, then by size, then by name."""
    return stock.status == "DELISTED", -stock.market_value, stock.name, stock.code


def _texts(stock: FoundStock) -> tuple[str, ...]:
    """All in which a stock is looked for. The code stands there without its A as well, so that digits begin it."""
    return tuple(
        normalize_hangul(text)
        for text in (stock.code[1:], stock.code, stock.name, stock.english_name)
        if text
    )
