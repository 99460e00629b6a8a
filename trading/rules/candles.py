"""Candles: the trades of a span of time as its first, highest, lowest and last price."""

from enum import StrEnum


class CandleInterval(StrEnum):
    """The span of a candle, in Toss's words."""

    MINUTE = "min:1"
    DAY = "day:1"
