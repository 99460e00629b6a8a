"""Halts: an administrator stops the acceptance and the matching of orders, and lets both go on. Open orders survive.

What is traded on the market during a halt fills nothing, also afterwards.
"""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from trading.db.upsert import upsert
from trading.halts.queries import IS_RUNNING, halts_where
from trading.halts.records import HaltRecord
from trading.halts.tables import TRADING_HALTS
from trading.unit_of_work import UnitOfWork


def running_halt(session: Session) -> HaltRecord | None:
    """The halt that has not been lifted yet; None while trading goes on."""
    return next(iter(halts_where(session, IS_RUNNING)), None)


def halt_trading(uow: UnitOfWork, *, halt_id: UUID, by: UUID, reason: str | None) -> HaltRecord:
    """Stop trading. Where it is halted already that halt stands, whoever asked for it and whyever."""
    session, now = uow.session, uow.now
    running = running_halt(session)
    if running is not None:
        return running
    # Written so that of two administrators the second one finds the halt of the first: no savepoint, which a deadlock would take along.
    made = {
        "id": halt_id,
        "running": 1,
        "reason": reason,
        "halted_at": now,
        "halted_by": by,
        "resumed_at": None,
        "resumed_by": None,
    }
    upsert(session, TRADING_HALTS, [made], update=("running",))
    (standing,) = halts_where(session, IS_RUNNING)
    return standing


def resume_trading(uow: UnitOfWork, *, by: UUID) -> HaltRecord | None:
    """Let trading go on; the halt that this ends, None where there is none."""
    session, now = uow.session, uow.now
    running = running_halt(session)
    if running is None:
        return None
    session.execute(
        update(TRADING_HALTS)
        .where(TRADING_HALTS.c.id == running.id, IS_RUNNING)
        .values(running=None, resumed_at=now, resumed_by=by)
    )
    return replace(running, resumed_at=now)
