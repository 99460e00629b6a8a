"""Order_types of exchange."""

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
        """Whether such an order may wait for a trade; any other has one chance, and ends with it."""
        return self in (TimeInForce.DAY, TimeInForce.GTC)
