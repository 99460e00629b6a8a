"""docs/stocks.md compared with the code."""

import re
from datetime import timedelta

from launcher.plan import ROOT
from trading.stocks.toss import market_data
from trading.stocks.toss.errors import TossError
from webapp.http.problems import status_of

PAGE = (ROOT / "docs" / "stocks.md").read_text(encoding="utf-8")
UNITS = {"s": 1, "min": 60, "h": 3_600, "day": 86_400}
KINDS = {
    "price": market_data.PRICE,
    "order book": market_data.ORDER_BOOK,
    "trades": market_data.TRADES,
    "candles": market_data.CANDLES,
    "candles before an instant": market_data.OLD_CANDLES,
    "indices": market_data.INDEX,
    "exchange rate": market_data.EXCHANGE_RATE,
    "rankings": market_data.RANKING,
}


def seconds(text: str) -> int:
    number, unit = text.split()
    return int(number) * UNITS[unit]


def test_lifetimes_equal_the_caches() -> None:
    documented = dict(re.findall(r"^\| ([a-z ]+) \| (\d+ \w+) \|", PAGE, re.MULTILINE))
    kept = dict(re.findall(r"^\| ([a-z ]+) \| \d+ \w+ \| (\d+ \w+|–) \|", PAGE, re.MULTILINE))

    assert {name: timedelta(seconds=seconds(text)) for name, text in documented.items()} == {
        name: kind.fresh for name, kind in KINDS.items()
    }
    for name, kind in KINDS.items():
        assert kind.ttl_s == (
            kind.fresh.total_seconds() if kept[name] == "–" else seconds(kept[name])
        ), name


def test_problems_equal_the_table() -> None:
    documented = {
        code: int(status)
        for code, status in re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE)
    }

    assert documented == {
        kind.code: status_of(kind.code)
        for kind in TossError.__subclasses__()
        if hasattr(kind, "code")
    }
