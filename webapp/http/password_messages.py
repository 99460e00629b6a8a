"""Check passwords that users choose."""

from trading.accounts.password_policy import PasswordFault, password_fault
from trading.accounts.passwords import LENGTH_MAX
from trading.errors import ValidationFailed
from webapp.context import get_core


def check_new_password(password: str, *, field: str, email: str, name: str) -> None:
    """Check that the account may use the password.

    Raises ValidationFailed with `field` and `reason`, and with `minimum` or `limit` (characters) if
    the length is wrong.
    """
    length_min = get_core().settings.password_length_min
    fault = password_fault(password, length_min=length_min, email=email, name=name)
    if fault is PasswordFault.TOO_SHORT:
        raise ValidationFailed(field=field, reason=fault, minimum=length_min)
    if fault is PasswordFault.TOO_LONG:
        raise ValidationFailed(field=field, reason=fault, limit=LENGTH_MAX)
    if fault is not None:
        raise ValidationFailed(field=field, reason=fault)
