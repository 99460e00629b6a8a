"""Destinations of Toss's feed that the relayer may subscribe to: the trades of Korean stocks, and nothing that nobody here would read."""

import re
from functools import lru_cache

from trading.marketdata.stock_codes import product_code

_TRADE = re.compile(r"/topic/v1/kr/stock/trade/(A[0-9A-Z]{6})", re.ASCII)


def trade_topic(code: str) -> str:
    """The destination of a Korean stock's trades, e.g. ``/topic/v1/kr/stock/trade/A005930``."""
    return f"/topic/v1/kr/stock/trade/{code}"


@lru_cache(maxsize=4_096)  # Every tick asks it.
def code_of_trade_topic(topic: str) -> str | None:
    """The product code that a destination is about; None for any other text."""
    found = _TRADE.fullmatch(topic)
    return found[1] if found else None


def parse_trade_topic(text: str) -> str | None:
    """The destination that a person means: its full text, or a stock's code with or without the A. None for anything else."""
    if code_of_trade_topic(text) is not None:
        return text
    code = product_code(text)
    return None if code is None else trade_topic(code)
