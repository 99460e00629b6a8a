"""Errors raised while trading is halted."""

from trading.errors import DomainError


class TradingHalted(DomainError):
    """Facts: `since`, the RFC 3339 time at which an administrator halted trading."""

    code = "trading-halted"


class AccountHalted(DomainError):
    """The account may not trade or pay out cash until an operator resumes it. Facts: `since`, RFC
    3339.
    """

    code = "account-halted"
