"""Records of accounts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    id: UUID
    email: str
    name: str
    role: str
    created_at: datetime
