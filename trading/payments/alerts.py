"""Calling a person: an alert is a row that stays until he has resolved it, and a line in the log when it is raised."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from trading.db.statements import execute_rowcount
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.tables import PAYMENT_ALERTS

log = structlog.get_logger(__name__)

_DETAIL_LENGTH_MAX = 200


class PaymentAlert(NamedTuple):
    """What is wrong, and the words for it that a program has."""

    kind: PaymentAlertKind
    detail: str | None = None


def open_alert(session: Session, payment_id: UUID, alert: PaymentAlert, *, now: datetime) -> None:
    """Write an alert about a payment whose lock the caller holds. One that is open already is only counted."""
    mine = (PAYMENT_ALERTS.c.payment_id == payment_id) & (PAYMENT_ALERTS.c.kind == alert.kind)
    known = session.execute(select(PAYMENT_ALERTS.c.resolved_at).where(mine)).one_or_none()
    detail = None if alert.detail is None else alert.detail[:_DETAIL_LENGTH_MAX]
    if known is None:
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
        anew = (
            {}
            if known.resolved_at is None
            else {"raised_at": now, "resolved_at": None, "note": None}
        )
        session.execute(
            update(PAYMENT_ALERTS)
            .where(mine)
            .values(times=PAYMENT_ALERTS.c.times + 1, detail=detail, **anew)
        )
        if known.resolved_at is None:
            return
    log.error("payment_alert", payment_id=payment_id.hex, kind=alert.kind, detail=detail)


def resolve_alerts(session: Session, payment_id: UUID, *, note: str, now: datetime) -> int:
    """Resolve the open alerts about a payment, with a note on what was done; how many there were."""
    open_ones = (PAYMENT_ALERTS.c.payment_id == payment_id) & PAYMENT_ALERTS.c.resolved_at.is_(None)
    return execute_rowcount(
        session, update(PAYMENT_ALERTS).where(open_ones).values(resolved_at=now, note=note)
    )
