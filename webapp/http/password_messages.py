"""Passwords that users choose: whether the account may have them."""

from trading.accounts.password_policy import PasswordFault, password_fault
from trading.accounts.passwords import LENGTH_MAX
from trading.errors import ValidationFailed
from webapp.context import get_core


def check_choice(password: str, *, field: str, email: str, name: str) -> None:
    """Raises ValidationFailed with ``field`` and ``reason``, and with ``minimum`` or ``limit`` in characters where it is about the length."""
    length_min = get_core().settings.password_length_min
    fault = password_fault(password, length_min=length_min, email=email, name=name)
    if fault is PasswordFault.TOO_SHORT:
        raise ValidationFailed(field=field, reason=fault, minimum=length_min)
    if fault is PasswordFault.TOO_LONG:
        raise ValidationFailed(field=field, reason=fault, limit=LENGTH_MAX)
    if fault is not None:
        raise ValidationFailed(field=field, reason=fault)
