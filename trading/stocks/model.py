"""Trading status of a stock."""

from enum import StrEnum


class StockStatus(StrEnum):
    """Status set by operators. Orders of a halted stock wait; those of a delisted one end."""

    TRADABLE = "TRADABLE"
    HALTED = "HALTED"
    DELISTED = "DELISTED"
