"""Records of halts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """A time during which an administrator had trading stopped; ``resumed_at`` is None until it is lifted."""

    id: UUID
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.resumed_at is None

    def holds(self, at: datetime) -> bool:
        """Whether it had trading stopped at an instant: its first one, and none any more from the one at which it was lifted."""
        return self.halted_at <= at and (self.resumed_at is None or at < self.resumed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHaltRecord:
    """A time during which one account may not trade; ``resumed_at`` is None until it is lifted."""

    id: UUID
    user_id: UUID
    cause: str
    reason: str | None
    halted_at: datetime
    resumed_at: datetime | None
