"""Halts: an administrator stops the acceptance and the matching of orders, and lets both go on. Open orders survive.

What is traded on the market during a halt fills nothing, also afterwards.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.database.tables import TradingHalt, table_of
from trading.database.upsert import upsert
from trading.rules.records import HaltRecord

_HALTS = table_of(TradingHalt)

# Since when trading is halted, for a statement that asks for something else anyway; NULL when it is not.
HALTED_SINCE = select(_HALTS.c.halted_at).where(_HALTS.c.running == 1).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Halts:
    """Halts as pairs of instants, the second None while one is running."""

    spans: tuple[tuple[datetime, datetime | None], ...]

    @property
    def running(self) -> bool:
        return any(until is None for _, until in self.spans)

    def hold(self, at: datetime) -> bool:
        """Whether trading was halted at that instant."""
        return any(since <= at and (until is None or at < until) for since, until in self.spans)


def halts_since(session: Session, at: datetime) -> Halts:
    """The halts that had not ended by that instant, the running one included."""
    rows = session.execute(
        select(_HALTS.c.halted_at, _HALTS.c.resumed_at).where((_HALTS.c.running == 1) | (_HALTS.c.resumed_at > at))
    )
    return Halts(tuple((row.halted_at, row.resumed_at) for row in rows))


def running_halt(session: Session) -> HaltRecord | None:
    """The halt that has not been lifted yet; None while trading goes on."""
    row = session.execute(select(_HALTS).where(_HALTS.c.running == 1)).one_or_none()
    return None if row is None else _record(row)


def halt(session: Session, *, halt_id: UUID, by: UUID, reason: str | None, now: datetime) -> HaltRecord:
    """Stop trading. Where it is halted already that halt stands, whoever asked for it and whyever."""
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
    upsert(session, _HALTS, [made], update=("running",))
    return _record(session.execute(select(_HALTS).where(_HALTS.c.running == 1)).one())


def resume(session: Session, *, by: UUID, now: datetime) -> HaltRecord | None:
    """Let trading go on; the halt that this ends, None where there is none."""
    running = running_halt(session)
    if running is None:
        return None
    session.execute(
        update(_HALTS)
        .where(_HALTS.c.id == running.id, _HALTS.c.running == 1)
        .values(running=None, resumed_at=now, resumed_by=by)
    )
    return HaltRecord(id=running.id, reason=running.reason, halted_at=running.halted_at, resumed_at=now)


def _record(row: object) -> HaltRecord:
    return HaltRecord(**{name: getattr(row, name) for name in ("id", "reason", "halted_at", "resumed_at")})
