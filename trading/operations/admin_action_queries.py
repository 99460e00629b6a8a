"""The administrators' log, as it is read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.db.statements import AnyRow
from trading.operations.tables import ADMIN_ACTION_OUTCOMES, ADMIN_ACTIONS
from trading.pagination import Page, page_of

_WITH_OUTCOMES = select(
    ADMIN_ACTIONS,
    ADMIN_ACTION_OUTCOMES.c.outcome,
    ADMIN_ACTION_OUTCOMES.c.details.label("outcome_details"),
    ADMIN_ACTION_OUTCOMES.c.ended_at,
).outerjoin(ADMIN_ACTION_OUTCOMES, ADMIN_ACTION_OUTCOMES.c.action_id == ADMIN_ACTIONS.c.id)


class ActionFilters(TypedDict, total=False):
    """Each narrows; ``before`` is the id before which a page begins."""

    before: UUID | None
    action: str | None
    user_id: UUID | None
    operator: str | None
    target: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminActionRecord:
    """Who did what to what, by which request from where, and what came of it; ``outcome`` and ``ended_at`` are None where that is not known."""

    id: UUID
    action: str
    user_id: UUID | None
    operator: str | None
    target: str | None
    details: dict[str, Any]
    request_id: str | None
    address: str | None
    began_at: datetime
    outcome: str | None
    outcome_details: dict[str, Any]
    ended_at: datetime | None


def list_admin_actions(
    session: Session, *, limit: int, **filters: Unpack[ActionFilters]
) -> Page[AdminActionRecord]:
    """Actions of administrators and operators, newest first. One statement."""
    wanted = _WITH_OUTCOMES
    for name in ("action", "user_id", "operator", "target"):
        if (value := filters.get(name)) is not None:
            wanted = wanted.where(ADMIN_ACTIONS.c[name] == value)
    if (before := filters.get("before")) is not None:
        wanted = wanted.where(ADMIN_ACTIONS.c.id < before)
    if (since := filters.get("since")) is not None:
        wanted = wanted.where(ADMIN_ACTIONS.c.began_at >= since)
    if (until := filters.get("until")) is not None:
        wanted = wanted.where(ADMIN_ACTIONS.c.began_at < until)
    rows = session.execute(wanted.order_by(ADMIN_ACTIONS.c.id.desc()).limit(limit + 1)).all()
    return page_of(rows, limit=limit, record=_record, cursor=lambda row: row.id.hex)


def _record(row: AnyRow) -> AdminActionRecord:
    return AdminActionRecord(
        id=row.id,
        action=row.action,
        user_id=row.user_id,
        operator=row.operator,
        target=row.target,
        details=msgspec.json.decode(row.details),
        request_id=row.request_id,
        address=row.address,
        began_at=row.began_at,
        outcome=row.outcome,
        outcome_details=msgspec.json.decode(row.outcome_details or "{}"),
        ended_at=row.ended_at,
    )
