"""Model of halts."""

from enum import StrEnum


class HaltCause(StrEnum):
    """Why an account may not trade: the audit found that its books break an invariant, or an administrator said so."""

    AUDIT_BREACH = "audit-breach"
    ADMINISTRATOR = "administrator"
