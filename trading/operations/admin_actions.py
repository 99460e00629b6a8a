"""The administrators' log. It is append-only.

An action within the database is recorded in its own transaction (``record_action``). An action
outside of the database is recorded before it begins (``insert_action``) and when its outcome is
known (``insert_outcome``): if the process is killed in between, the intent remains.
"""

from collections.abc import Mapping
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
from trading.unit_of_work import UnitOfWork


def insert_action(
    uow: UnitOfWork, action: AdminAction, *, target: str | None = None, **details: object
) -> None:
    """Record an action about to be taken, unless a run before a retry recorded it."""
    session = uow.session
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


def insert_outcome(uow: UnitOfWork, action: AdminAction, word: str, **details: object) -> None:
    """Record the outcome of an action, unless it already has one."""
    session, now = uow.session, uow.now
    if not is_recorded(session, action.id):
        session.execute(
            insert(ADMIN_ACTION_OUTCOMES).values(
                action_id=action.id, outcome=word, details=_json(details), ended_at=now
            )
        )


def record_action(
    uow: UnitOfWork, action: AdminAction, outcome: Outcome, **details: object
) -> None:
    """Record an action and its outcome in the transaction that takes it.

    ``details`` describe the request.
    """
    insert_action(uow, action, target=outcome.target, **details)
    insert_outcome(uow, action, outcome.word, **outcome.details)


def is_recorded(session: Session, action_id: UUID) -> bool:
    """Return True if the action's outcome is recorded.

    For an action recorded in its own transaction, this means that the transaction was committed.
    """
    return bool(
        session.scalar(select(exists().where(ADMIN_ACTION_OUTCOMES.c.action_id == action_id)))
    )


def _storable(text: str | None, length_max: int) -> str | None:
    """Return the text in a form that every column accepts.

    File names and user names may contain bytes that are not valid UTF-8.
    """
    return None if text is None else text.encode("utf-8", "replace").decode()[:length_max]


def _json(details: Mapping[str, object]) -> str:
    storable = {
        name: _storable(value, 1_000) if isinstance(value, str) else value
        for name, value in details.items()
    }
    return msgspec.json.encode(
        {name: value for name, value in storable.items() if value is not None}
    ).decode()
