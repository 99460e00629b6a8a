"""Halts as the database keeps them: the statements of everybody who asks for some."""

from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from trading.database.tables import TradingHalt, table_of
from trading.rules.records import HaltRecord

_HALTS = table_of(TradingHalt)

IS_RUNNING = _HALTS.c.running == 1

# Since when trading is halted, for a statement that asks for something else anyway; NULL when it is not.
HALTED_SINCE = select(_HALTS.c.halted_at).where(IS_RUNNING).scalar_subquery()

_HALT = select(_HALTS.c.id, _HALTS.c.reason, _HALTS.c.halted_at, _HALTS.c.resumed_at).order_by(_HALTS.c.halted_at)


def halts_where(session: Session, *conditions: ColumnElement[bool]) -> tuple[HaltRecord, ...]:
    """The halts that meet these conditions, earliest first."""
    return tuple(HaltRecord(**row) for row in session.execute(_HALT.where(*conditions)).mappings())


def halts_since(session: Session, at: datetime) -> tuple[HaltRecord, ...]:
    """The halts that had not been lifted by an instant, earliest first; the running one is the last."""
    return halts_where(session, IS_RUNNING | (_HALTS.c.resumed_at > at))
