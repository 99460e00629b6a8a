"""Identifiers: UUID version 7, whose order is the order of creation, so indexes grow at the end."""

from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """Return a new time-ordered UUID, greater than all before it in this process."""
    return compat.uuid7()
