"""Topics of Toss's feed that the relayer may subscribe to: trades of Korean stocks only."""

import re
from functools import lru_cache

from trading.marketdata.stock_codes import product_code

_TRADE = re.compile(r"/topic/v1/kr/stock/trade/(A[0-9A-Z]{6})", re.ASCII)


def trade_topic(code: str) -> str:
    """Return the topic of a stock's trades, such as ``/topic/v1/kr/stock/trade/A005930``."""
    return f"/topic/v1/kr/stock/trade/{code}"


@lru_cache(maxsize=4_096)  # Called for every tick.
def code_of_trade_topic(topic: str) -> str | None:
    """Return the product code of a trade topic; None for other text."""
    found = _TRADE.fullmatch(topic)
    return found[1] if found else None


def parse_trade_topic(text: str) -> str | None:
    """Return the topic for a full topic or a stock code with or without A; None for other text."""
    if code_of_trade_topic(text) is not None:
        return text
    code = product_code(text)
    return None if code is None else trade_topic(code)
