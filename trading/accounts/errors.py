"""Refusals about accounts and sign-in."""

from trading.errors import DomainError


class EmailTaken(DomainError):
    code = "email-taken"


class UserNotFound(DomainError):
    code = "user-not-found"


class SignInLocked(DomainError):
    """Too many sign-ins in a row failed. Facts: ``retry_after_s``, the seconds for which none is tried."""

    code = "sign-in-locked"
