"""Refusals about holdings."""

from trading.errors import DomainError


class HoldingNotFound(DomainError):
    code = "holding-not-found"
