"""Halt and resume trading. During a halt no order is accepted or matched; open orders stay and can
only be reduced and cancelled.

Trades of the market during a halt never fill an order, also after it.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from trading.db.upsert import upsert
from trading.halts.queries import IS_RUNNING, halts_where
from trading.halts.records import HaltRecord
from trading.halts.tables import TRADING_HALTS
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRequest:
    """Command to halt trading; ``by`` is the administrator."""

    halt_id: UUID
    by: UUID
    reason: str | None = None


def running_halt(session: Session) -> HaltRecord | None:
    """Return the running trading halt; None if there is none."""
    return next(iter(halts_where(session, IS_RUNNING)), None)


def halt_trading(uow: UnitOfWork, command: HaltRequest) -> HaltRecord:
    """Halt trading and return the halt. A halt that is already running stays as it is."""
    session, now = uow.session, uow.now
    running = running_halt(session)
    if running is not None:
        return running
    # With an upsert, the later of two concurrent requests returns the halt that the other inserted.
    # An insert in a savepoint would not do: a deadlock rolls back the savepoint as well.
    row = {
        "id": command.halt_id,
        "running": 1,
        "reason": command.reason,
        "halted_at": now,
        "halted_by": command.by,
        "resumed_at": None,
        "resumed_by": None,
    }
    upsert(session, TRADING_HALTS, [row], update=("running",))
    (active,) = halts_where(session, IS_RUNNING)
    return active


def resume_trading(uow: UnitOfWork, *, by: UUID) -> HaltRecord | None:
    """Resume trading and return the ended halt; None if trading was not halted."""
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
