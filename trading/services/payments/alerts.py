"""Calling a person: an alert is a row that stays until he has resolved it, and a line in the log when it is raised."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from trading.database.rows import rows_changed
from trading.database.tables import PaymentAlert, table_of
from trading.rules.payments.alerts import AlertKind

log = structlog.get_logger(__name__)

_ALERTS = table_of(PaymentAlert)
_DETAIL_LENGTH_MAX = 200


class Alert(NamedTuple):
    """What is wrong, and the words for it that a program has."""

    kind: AlertKind
    detail: str | None = None


def raise_alert(session: Session, payment_id: UUID, alert: Alert, *, now: datetime) -> None:
    """Write an alert about a payment whose lock the caller holds. One that is open already is only counted."""
    mine = (_ALERTS.c.payment_id == payment_id) & (_ALERTS.c.kind == alert.kind)
    known = session.execute(select(_ALERTS.c.resolved_at).where(mine)).one_or_none()
    detail = None if alert.detail is None else alert.detail[:_DETAIL_LENGTH_MAX]
    if known is None:
        session.execute(
            insert(_ALERTS).values(
                payment_id=payment_id,
                kind=alert.kind,
                detail=detail,
                times=1,
                raised_at=now,
                resolved_at=None,
                note=None,
            )
        )
    else:
        anew = (
            {}
            if known.resolved_at is None
            else {"raised_at": now, "resolved_at": None, "note": None}
        )
        session.execute(
            update(_ALERTS).where(mine).values(times=_ALERTS.c.times + 1, detail=detail, **anew)
        )
        if known.resolved_at is None:
            return
    log.error("payment_alert", payment_id=payment_id.hex, kind=alert.kind, detail=detail)


def resolve_alerts(session: Session, payment_id: UUID, *, note: str, now: datetime) -> int:
    """Resolve the open alerts about a payment, with a note on what was done; how many there were."""
    open_ones = (_ALERTS.c.payment_id == payment_id) & _ALERTS.c.resolved_at.is_(None)
    return rows_changed(
        session, update(_ALERTS).where(open_ones).values(resolved_at=now, note=note)
    )
