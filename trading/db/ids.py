"""Identifiers: UUID version 7, so that ascending ids are ascending times and an index grows at its end."""

from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """A fresh time-ordered UUID; within one process every next one is greater."""
    return compat.uuid7()
