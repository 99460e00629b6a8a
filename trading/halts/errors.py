"""Refusals while trading is halted."""

from trading.errors import DomainError


class TradingHalted(DomainError):
    """Facts: ``since``, the RFC 3339 time at which an administrator stopped trading."""

    code = "trading-halted"


class AccountHalted(DomainError):
    """The account may not trade, nor give cash away, until an operator has looked at it. Facts: ``since``, an RFC 3339 time."""

    code = "account-halted"
