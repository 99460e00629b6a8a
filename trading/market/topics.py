"""Destinations of Toss's feed that the relayer may subscribe to."""

import re

_TRADE = re.compile(r"/topic/v1/kr/stock/trade/(A[0-9A-Z]{6})", re.ASCII)


def trade_topic(code: str) -> str:
    """The destination of a Korean stock's trades, e.g. ``/topic/v1/kr/stock/trade/A005930``."""
    return f"/topic/v1/kr/stock/trade/{code}"


def code_of_trade_topic(topic: str) -> str | None:
    """The product code that a destination is about; None for any other text."""
    found = _TRADE.fullmatch(topic)
    return found[1] if found else None
