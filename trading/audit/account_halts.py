"""Halts of single accounts.

A halted account places no orders and its orders are not filled. Executions are still settled, and
orders can be cancelled. Matches found in the market meanwhile are stored and executed when the halt
is lifted, so an order keeps its priority.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, update

from trading.accounts.errors import UserNotFound
from trading.accounts.tables import ACCOUNT_AUDITS, USERS
from trading.audit.tables import AUDIT_BREACHES
from trading.db.upsert import upsert
from trading.halts.model import HaltCause
from trading.halts.queries import ACCOUNT_IS_HALTED, running_account_halt
from trading.halts.records import AccountHaltRecord
from trading.halts.tables import ACCOUNT_HALTS
from trading.orders.tables import ORDERS
from trading.tasks import Task, task_requests
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHaltRequest:
    """Command to halt an account.

    ``by`` is the administrator; None for the audit and for operators at the command line.
    """

    halt_id: UUID
    user_id: UUID
    cause: HaltCause
    reason: str | None
    by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountResumption:
    """Command to end an account's halt; ``by`` is the administrator, ``note`` what was found."""

    user_id: UUID
    note: str
    by: UUID | None = None


def halt_account(uow: UnitOfWork, command: AccountHaltRequest) -> AccountHaltRecord:
    """Halt an account. Return the halt, or the one already in force. Raise UserNotFound."""
    session, now, user_id = uow.session, uow.now, command.user_id
    if session.scalar(select(USERS.c.id).where(USERS.c.id == user_id)) is None:
        raise UserNotFound
    running = running_account_halt(session, user_id)
    if running is not None:
        return running
    # With an upsert, the later of two concurrent requests returns the halt that the other inserted.
    # An insert in a savepoint would not do: a deadlock rolls back the savepoint as well.
    row = {
        "id": command.halt_id,
        "user_id": user_id,
        "running": 1,
        "cause": command.cause,
        "reason": command.reason,
        "halted_at": now,
        "halted_by": command.by,
        "resumed_at": None,
        "resumed_by": None,
        "note": None,
    }
    upsert(session, ACCOUNT_HALTS, [row], update=("running",))
    halt = running_account_halt(session, user_id)
    if halt is None:
        raise AssertionError("unreachable: the upsert inserted a halt or found one")
    return halt


def resume_account(uow: UnitOfWork, command: AccountResumption) -> AccountHaltRecord | None:
    """End an account's halt, resolve its breaches with a note, and return the halt.

    Return None if the account is not halted. The next audit run audits the account again and halts
    it again if breaches remain.
    """
    session, now, user_id = uow.session, uow.now, command.user_id
    lifted = running_account_halt(session, user_id)
    if lifted is None:
        return None
    session.execute(
        update(ACCOUNT_HALTS)
        .where(ACCOUNT_HALTS.c.id == lifted.id, ACCOUNT_IS_HALTED)
        .values(running=None, resumed_at=now, resumed_by=command.by, note=command.note)
    )
    session.execute(
        update(AUDIT_BREACHES)
        .where(AUDIT_BREACHES.c.user_id == user_id, AUDIT_BREACHES.c.resolved_at.is_(None))
        .values(resolved_at=now, note=command.note)
    )
    session.execute(
        update(ACCOUNT_AUDITS).where(ACCOUNT_AUDITS.c.user_id == user_id).values(event_id=0)
    )
    _reschedule_orders(uow, user_id)
    return replace(lifted, resumed_at=now)


def _reschedule_orders(uow: UnitOfWork, user_id: UUID) -> None:
    """Schedule the account's orders that were postponed by the halt."""
    session, settings = uow.session, uow.settings
    postponed = (
        (ORDERS.c.user_id == user_id)
        & ORDERS.c.finished_at.is_(None)
        & ORDERS.c.next_attempt_at.is_not(None)
    )
    due = session.scalars(
        select(ORDERS.c.id).where(postponed).order_by(ORDERS.c.id).with_for_update()
    ).all()
    if due:
        soon = uow.now + timedelta(milliseconds=settings.wake_grace_ms)
        session.execute(update(ORDERS).where(ORDERS.c.id.in_(due)).values(next_attempt_at=soon))
    for request in task_requests(Task.EXECUTE_ORDERS, due, batch_size=settings.stage_batch_size):
        uow.after_commit(request)
