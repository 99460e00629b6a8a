"""The administrators' log: entries are added, beside the rows of the action itself where it has some, and never changed.

What is done outside of the database is put down before it is begun (``begin``) and once it is known what came of it (``end``): whatever is killed in
between, the intent stays.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import exists, insert, select
from sqlalchemy.orm import Session

from trading.operations.admin_action_model import (
    OPERATOR_LENGTH_MAX,
    TARGET_LENGTH_MAX,
    AdminAction,
    Outcome,
)
from trading.operations.tables import ADMIN_ACTION_OUTCOMES, ADMIN_ACTIONS


def insert_action(
    session: Session, action: AdminAction, *, target: str | None = None, **details: Any
) -> None:
    """Put down that an action is going to be taken; nothing when that was done before, by a run whose COMMIT had an unknown outcome."""
    if session.scalar(select(exists().where(ADMIN_ACTIONS.c.id == action.id))):
        return
    actor = action.actor
    session.execute(
        insert(ADMIN_ACTIONS).values(
            id=action.id,
            action=action.kind,
            user_id=actor.user_id,
            operator=_storable(actor.operator, OPERATOR_LENGTH_MAX),
            target=_storable(target, TARGET_LENGTH_MAX),
            details=_json(details),
            request_id=actor.request_id,
            address=actor.address,
            began_at=action.began_at,
        )
    )


def insert_outcome(
    session: Session, action: AdminAction, word: str, *, now: datetime, **details: Any
) -> None:
    """Put down what came of an action that was begun; the first word stays."""
    if not is_recorded(session, action.id):
        session.execute(
            insert(ADMIN_ACTION_OUTCOMES).values(
                action_id=action.id, outcome=word, details=_json(details), ended_at=now
            )
        )


def record_action(
    session: Session, action: AdminAction, outcome: Outcome, *, now: datetime, **details: Any
) -> None:
    """Both at once, for an action that this very transaction takes. ``details`` are of what was asked."""
    insert_action(session, action, target=outcome.target, **details)
    insert_outcome(session, action, outcome.word, now=now, **outcome.details)


def is_recorded(session: Session, action_id: UUID) -> bool:
    """Whether it is known what came of an action; of one that its own transaction puts down, whether that transaction was committed."""
    return bool(
        session.scalar(select(exists().where(ADMIN_ACTION_OUTCOMES.c.action_id == action_id)))
    )


def _storable(text: str | None, length_max: int) -> str | None:
    """The text as any column holds it: file names and names of users may be bytes of no character."""
    return None if text is None else text.encode("utf-8", "replace").decode()[:length_max]


def _json(details: Mapping[str, Any]) -> str:
    storable = {
        name: _storable(value, 1_000) if isinstance(value, str) else value
        for name, value in details.items()
    }
    return msgspec.json.encode(
        {name: value for name, value in storable.items() if value is not None}
    ).decode()
