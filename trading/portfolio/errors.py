"""Domain errors of the portfolio."""

from trading.errors import DomainError


class HoldingNotFound(DomainError):
    code = "holding-not-found"
