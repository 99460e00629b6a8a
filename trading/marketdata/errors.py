"""Domain errors of market data."""

from trading.errors import DomainError


class NoLivePrice(DomainError):
    code = "no-live-price"
