"""Write the administrators' log for API requests and operator commands.

Actions inside the database are recorded in their own transaction; actions outside it are recorded
before (intent) and after (outcome).
"""

import os
import pwd
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import structlog
from flask import g, request

from trading.db.ids import new_id
from trading.db.transactions import DatabaseUnavailable
from trading.operations import admin_actions
from trading.operations.admin_action_model import (
    ADDRESS_LENGTH_MAX,
    ActionKind,
    Actor,
    AdminAction,
    Outcome,
)
from trading.unit_of_work import UnitOfWork
from webapp.context import get_core
from webapp.http.authentication import current_user

log = structlog.get_logger(__name__)

T = TypeVar("T")


def requested(kind: ActionKind) -> AdminAction:
    """Return an action requested by the current request's administrator."""
    address = (request.remote_addr or "")[:ADDRESS_LENGTH_MAX]
    actor = Actor(user_id=current_user().user_id, request_id=g.request_id, address=address or None)
    return AdminAction(id=new_id(), kind=kind, actor=actor, began_at=get_core().clock())


def commanded(kind: ActionKind) -> AdminAction:
    """Return an action requested by an operator at the command line.

    The operator's name comes from the system's user database, not from the environment.
    """
    return AdminAction(
        id=new_id(), kind=kind, actor=Actor(operator=_operator()), began_at=get_core().clock()
    )


def record_intent(action: AdminAction, *, target: str | None = None, **details: Any) -> None:
    """Record an action outside the database before it starts.

    Raises DatabaseUnavailable; the action must not be started then.
    """
    get_core().run(partial(admin_actions.insert_action, action=action, target=target, **details))


def record_outcome(action: AdminAction, outcome: str, **details: Any) -> None:
    """Record the outcome of an action outside the database.

    The action is done by now, so this never raises: without the database only the intent is
    recorded.
    """
    try:
        get_core().run(
            partial(admin_actions.insert_outcome, action=action, word=outcome, **details)
        )
    except DatabaseUnavailable:
        log.error(  # noqa: TRY400
            "admin_outcome_not_recorded",
            action_id=action.id.hex,
            action=action.kind,
            outcome=outcome,
        )


def run_commanded(
    kind: ActionKind,
    use_case: Callable[[UnitOfWork], T],
    *,
    outcome_of: Callable[[T], Outcome],
    **details: Any,
) -> T:
    """Run an operator's work in a transaction together with its log entry.

    `details` describe the request.
    """
    return get_core().run(recorded(commanded(kind), use_case, outcome_of=outcome_of, **details))


def recorded(
    action: AdminAction,
    use_case: Callable[[UnitOfWork], T],
    *,
    outcome_of: Callable[[T], Outcome],
    **details: Any,
) -> Callable[[UnitOfWork], T]:
    """Return a use case that also records `action`, its `details` and its outcome in the log."""

    def run(uow: UnitOfWork) -> T:
        result = use_case(uow)
        admin_actions.record_action(uow, action, outcome_of(result), **details)
        return result

    return run


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
