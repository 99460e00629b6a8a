"""Trading status of a stock, and how operators change it."""

from enum import StrEnum


class StockStatus(StrEnum):
    """Status set by operators. Orders of a halted stock wait; those of a delisted one end."""

    TRADABLE = "TRADABLE"
    HALTED = "HALTED"
    DELISTED = "DELISTED"


class StockChange(StrEnum):
    """What an operator changed about the trading of a stock."""

    HALTED = "halted"
    RESUMED = "resumed"
    DELISTED = "delisted"
    LIQUIDATION_STARTED = "liquidation-started"
    LIQUIDATION_ENDED = "liquidation-ended"
    LEVERAGE_CHANGED = "leverage-changed"
