"""Domain errors of stocks."""

from trading.errors import DomainError


class StockNotFound(DomainError):
    code = "stock-not-found"


class StockNotTradable(DomainError):
    code = "stock-not-tradable"
