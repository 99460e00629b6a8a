"""Causes of account halts."""

from enum import StrEnum


class HaltCause(StrEnum):
    """Why an account is halted: the audit found a breach, or an administrator halted it."""

    AUDIT_BREACH = "audit-breach"
    ADMINISTRATOR = "administrator"
