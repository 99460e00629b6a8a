"""Finding stocks by what people type, best first: a pure search through a listing that is held in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from trading.rules.hangul import folded, search_pattern
from trading.rules.stock_codes import product_code


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


@dataclass(frozen=True, slots=True)
class _Entry:
    stock: FoundStock
    texts: tuple[str, ...]

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Its place among stocks that a query meets alike: what can be bought first, then by size, then by name."""
        stock = self.stock
        return stock.status == "DELISTED", -stock.market_value, stock.name, stock.code


class StockIndex:
    """A listing made ready to be searched. Never changed, so threads may share it."""

    def __init__(self, stocks: Iterable[FoundStock]) -> None:
        entries = (_Entry(stock, _texts(stock)) for stock in stocks)
        # In the order of answers already: a stable sort by the match alone is left to do.
        self._entries: Sequence[_Entry] = sorted(entries, key=lambda entry: entry.rank)

    def __len__(self) -> int:
        return len(self._entries)

    def search(self, query: str, *, limit: int) -> list[FoundStock]:
        """At most ``limit`` stocks: that of exactly this code, those of exactly this name, those that begin with the query, those that contain it.

        Looked through are the Korean name, its initial consonants, the English name, and the code with or without its A. Case, width and spaces
        make no difference. A query of spaces alone finds nothing.
        """
        wanted = folded(query)
        if not wanted:
            return []
        code, pattern = product_code(wanted), search_pattern(query)
        met: dict[_Match, list[FoundStock]] = {match: [] for match in _Match}
        for entry in self._entries:
            if entry.stock.code == code:
                met[_Match.CODE].append(entry.stock)
                continue
            places = [found.start() for text in entry.texts if (found := pattern.search(text))]
            if places:
                match = _Match.NAME if wanted in entry.texts else _Match.PREFIX if 0 in places else _Match.PART
                met[match].append(entry.stock)
        return [stock for match in _Match for stock in met[match]][:limit]


def _texts(stock: FoundStock) -> tuple[str, ...]:
    """All in which a stock is looked for. The code without its A comes first, so that digits begin it."""
    return tuple(folded(text) for text in (stock.code[1:], stock.code, stock.name, stock.english_name) if text)
