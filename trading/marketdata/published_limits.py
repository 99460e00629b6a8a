"""Price limits of a trading day as published by Toss, shared by all processes through Redis.

They include limits that cannot be computed from the master data, such as those of a fund whose
leverage was not imported.
"""

from datetime import date
from typing import Self

import msgspec


class PublishedLimits(msgspec.Struct, frozen=True):
    """The lowest and highest price (won) of one trading day (KST)."""

    day: date
    lower: int
    upper: int

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self | None:
        """Parse what ``to_json`` wrote; return None for anything else."""
        try:
            limits = msgspec.json.decode(text, type=cls)
        except (ValueError, RecursionError):
            return None
        return limits if 0 < limits.lower <= limits.upper else None
