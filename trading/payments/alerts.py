"""Open and resolve alerts about payments.

An alert is a row that stays open until an operator resolves it, and a log entry when it opens.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.tables import PAYMENT_ALERTS
from trading.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

_DETAIL_LENGTH_MAX = 200


class PaymentAlert(NamedTuple):
    """Kind of an alert and a detail for the operator."""

    kind: PaymentAlertKind
    detail: str | None = None


def open_alert(session: Session, payment_id: UUID, alert: PaymentAlert, *, now: datetime) -> None:
    """Open an alert about a payment whose lock the caller holds; count one that is open already."""
    matching = (PAYMENT_ALERTS.c.payment_id == payment_id) & (PAYMENT_ALERTS.c.kind == alert.kind)
    existing = session.execute(select(PAYMENT_ALERTS.c.resolved_at).where(matching)).one_or_none()
    detail = None if alert.detail is None else alert.detail[:_DETAIL_LENGTH_MAX]
    if existing is None:
        session.execute(
            insert(PAYMENT_ALERTS).values(
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
        reopened = (
            {}
            if existing.resolved_at is None
            else {"raised_at": now, "resolved_at": None, "note": None}
        )
        session.execute(
            update(PAYMENT_ALERTS)
            .where(matching)
            .values(times=PAYMENT_ALERTS.c.times + 1, detail=detail, **reopened)
        )
        if existing.resolved_at is None:
            return
    log.error("payment_alert", payment_id=payment_id.hex, kind=alert.kind, detail=detail)


def resolve_alerts(uow: UnitOfWork, payment_id: UUID, *, note: str) -> int:
    """Resolve a payment's open alerts with a note on what was done; return their number."""
    session, now = uow.session, uow.now
    is_open = (PAYMENT_ALERTS.c.payment_id == payment_id) & PAYMENT_ALERTS.c.resolved_at.is_(None)
    return execute_rowcount(
        session, update(PAYMENT_ALERTS).where(is_open).values(resolved_at=now, note=note)
    )
