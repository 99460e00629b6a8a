"""The administrators' log as the API and the commands write it: who acts here, and what is put down around actions outside of the database."""

import os
import pwd
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from flask import g, request
from sqlalchemy.orm import Session

from trading.db.ids import new_id
from trading.db.transactions import DatabaseUnavailable, rerun_is_safe
from trading.operations import admin_actions
from trading.operations.admin_action_model import (
    ADDRESS_LENGTH_MAX,
    ActionKind,
    Actor,
    AdminAction,
    Outcome,
)
from webapp.context import get_core
from webapp.http.authentication import current_user

log = structlog.get_logger(__name__)

T = TypeVar("T")


def requested(kind: ActionKind) -> AdminAction:
    """An action that this request's administrator asks for."""
    address = (request.remote_addr or "")[:ADDRESS_LENGTH_MAX]
    actor = Actor(user_id=current_user().user_id, request_id=g.request_id, address=address or None)
    return AdminAction(id=new_id(), kind=kind, actor=actor, began_at=get_core().clock())


def commanded(kind: ActionKind) -> AdminAction:
    """An action that the operator at this command line asks for. His name is the system's, not what his environment says."""
    return AdminAction(
        id=new_id(), kind=kind, actor=Actor(operator=_operator()), began_at=get_core().clock()
    )


def record_intent(action: AdminAction, *, target: str | None = None, **details: Any) -> None:
    """Put down an action that is done outside of the database, before it is begun. Raises DatabaseUnavailable, and then it must not be."""
    get_core().database.transaction(
        lambda session: admin_actions.insert_action(session, action, target=target, **details),
        find_committed=rerun_is_safe,
    )


def record_outcome(action: AdminAction, word: str, **details: Any) -> None:
    """Put down what came of it. It is done by now, so this never fails: without the database the intent stands alone."""
    core = get_core()
    try:
        core.database.transaction(
            lambda session: admin_actions.insert_outcome(
                session, action, word, now=core.clock(), **details
            ),
            find_committed=rerun_is_safe,
        )
    except DatabaseUnavailable:
        log.error(  # noqa: TRY400
            "admin_outcome_not_recorded", action_id=action.id.hex, action=action.kind, outcome=word
        )


def run_commanded(
    kind: ActionKind,
    work: Callable[[Session], T],
    *,
    outcome_of: Callable[[T], Outcome],
    **details: Any,
) -> T:
    """Run an operator's work in a transaction, with its entry in the log. ``details`` are of what was asked."""
    core, action = get_core(), commanded(kind)

    def recorded(session: Session) -> T:
        result = work(session)
        admin_actions.record_action(
            session, action, outcome_of(result), now=core.clock(), **details
        )
        return result

    return core.database.transaction(recorded, find_committed=rerun_is_safe)


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
