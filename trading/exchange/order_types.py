"""Sides, types and times in force of orders."""

from enum import StrEnum


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"


class TimeInForce(StrEnum):
    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"

    @property
    def may_wait(self) -> bool:
        """Return True if such an order may wait for a trade; any other gets one attempt and then
        ends.
        """
        return self in (TimeInForce.DAY, TimeInForce.GTC)
