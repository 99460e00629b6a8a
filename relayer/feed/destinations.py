"""How destinations are spelled for brokers to which a slash within a topic's name means something else, as to RabbitMQ."""

from collections.abc import Callable
from functools import partial
from typing import Literal

DestinationStyle = Literal["slashes", "dots", "percent"]

_SEPARATORS: dict[DestinationStyle, str] = {"slashes": "/", "dots": ".", "percent": "%2F"}


def destination_formatter(style: DestinationStyle) -> Callable[[str], str]:
    """What turns Toss's spelling of a destination, e.g. ``/topic/v1/kr/stock/trade/A005930``, into that of the style.

    The kind of the destination keeps its slashes: ``/topic/v1.kr.stock.trade.A005930``.
    """
    return partial(_spell, separator=_SEPARATORS[style])


def _spell(destination: str, *, separator: str) -> str:
    _, kind, name = destination.split("/", 2)
    return f"/{kind}/{name.replace('/', separator)}"
