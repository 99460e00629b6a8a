"""Errors of accounts and sign-in."""

from trading.errors import DomainError


class EmailTaken(DomainError):
    code = "email-taken"


class WrongPassword(DomainError):
    """The signed-in user did not confirm a request with the right password."""

    code = "wrong-password"


class UserNotFound(DomainError):
    code = "user-not-found"


class SignInLocked(DomainError):
    """Too many failed sign-ins in a row. Facts: `retry_after_s`, seconds until the next attempt."""

    code = "sign-in-locked"
