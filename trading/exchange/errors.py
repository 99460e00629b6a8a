"""Errors of the exchange's rules."""

from trading.errors import DomainError


class MarketClosed(DomainError):
    """Facts: ``next_open``, the RFC 3339 time from which such an order is accepted."""

    code = "market-closed"
