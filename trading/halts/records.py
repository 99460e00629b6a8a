"""Records of halts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """A trading halt by an administrator; `resumed_at` is None while it runs."""

    id: UUID
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.resumed_at is None

    def is_active_at(self, at: datetime) -> bool:
        """Return True if trading was halted at a time. The start belongs to the halt, the end does
        not.
        """
        return self.halted_at <= at and (self.resumed_at is None or at < self.resumed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHaltRecord:
    """A halt of one account; `resumed_at` is None while it runs."""

    id: UUID
    user_id: UUID
    cause: str
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None
