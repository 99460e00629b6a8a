"""Queries of the administrators' log."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, select
from sqlalchemy.orm import Session

from trading.operations.tables import ADMIN_ACTION_OUTCOMES, ADMIN_ACTIONS
from trading.pagination import Page, page_of

_WITH_OUTCOMES = select(
    ADMIN_ACTIONS,
    ADMIN_ACTION_OUTCOMES.c.outcome,
    ADMIN_ACTION_OUTCOMES.c.details.label("outcome_details"),
    ADMIN_ACTION_OUTCOMES.c.ended_at,
).outerjoin(ADMIN_ACTION_OUTCOMES, ADMIN_ACTION_OUTCOMES.c.action_id == ADMIN_ACTIONS.c.id)


class ActionFilters(TypedDict, total=False):
    """Filters of the log. ``before`` is the id before which a page begins."""

    before: UUID | None
    action: str | None
    user_id: UUID | None
    operator: str | None
    target: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminActionRecord:
    """A log entry: actor, action, target, request and outcome.

    ``outcome`` and ``ended_at`` are None if the outcome is unknown.
    """

    id: UUID
    action: str
    user_id: UUID | None
    operator: str | None
    target: str | None
    details: dict[str, object]
    request_id: str | None
    address: str | None
    began_at: datetime
    outcome: str | None
    outcome_details: dict[str, object]
    ended_at: datetime | None


def list_admin_actions(
    session: Session, *, limit: int, **filters: Unpack[ActionFilters]
) -> Page[AdminActionRecord]:
    """List actions of administrators and operators, newest first, in one statement."""
    statement = _WITH_OUTCOMES
    for name in ("action", "user_id", "operator", "target"):
        if (value := filters.get(name)) is not None:
            statement = statement.where(ADMIN_ACTIONS.c[name] == value)
    if (before := filters.get("before")) is not None:
        statement = statement.where(ADMIN_ACTIONS.c.id < before)
    if (since := filters.get("since")) is not None:
        statement = statement.where(ADMIN_ACTIONS.c.began_at >= since)
    if (until := filters.get("until")) is not None:
        statement = statement.where(ADMIN_ACTIONS.c.began_at < until)
    newest_first = statement.order_by(ADMIN_ACTIONS.c.id.desc())
    rows = session.execute(newest_first.limit(limit + 1)).mappings().all()
    return page_of(rows, limit=limit, record=_record, cursor=lambda row: row["id"].hex)


def _record(row: RowMapping) -> AdminActionRecord:
    return AdminActionRecord(
        id=row["id"],
        action=row["action"],
        user_id=row["user_id"],
        operator=row["operator"],
        target=row["target"],
        details=msgspec.json.decode(row["details"]),
        request_id=row["request_id"],
        address=row["address"],
        began_at=row["began_at"],
        outcome=row["outcome"],
        outcome_details=msgspec.json.decode(row["outcome_details"] or "{}"),
        ended_at=row["ended_at"],
    )
