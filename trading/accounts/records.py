"""Records and roles of accounts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a user may do."""

    USER = "USER"
    ADMIN = "ADMIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    id: UUID
    email: str
    name: str
    role: Role
    created_at: datetime
