"""Destination formats for brokers such as RabbitMQ that treat slashes in a topic name specially."""

from collections.abc import Callable
from functools import partial
from typing import Literal

DestinationStyle = Literal["slashes", "dots", "percent"]

_SEPARATORS: dict[DestinationStyle, str] = {"slashes": "/", "dots": ".", "percent": "%2F"}


def destination_formatter(style: DestinationStyle) -> Callable[[str], str]:
    """Return a function that converts Toss's destination format to that of ``style``.

    Toss writes ``/topic/v1/kr/stock/trade/A005930``. The slashes around the destination's kind are
    kept: ``/topic/v1.kr.stock.trade.A005930``.
    """
    return partial(_format, separator=_SEPARATORS[style])


def _format(destination: str, *, separator: str) -> str:
    _, kind, name = destination.split("/", 2)
    return f"/{kind}/{name.replace('/', separator)}"
