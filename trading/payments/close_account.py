"""Close an account: check its payments, end its orders and erase its personal data."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.accounts import accounts
from trading.accounts.tables import USERS
from trading.errors import Unauthorized
from trading.ledger.tables import PORTFOLIOS, VIRTUAL_BALANCES
from trading.payments.errors import PaymentUnderWay, RefundsForfeited
from trading.payments.model import PaymentStatus, payment_id_of
from trading.payments.refund_model import OPEN_STATUSES
from trading.payments.tables import PAYMENT_REFUNDS, PAYMENTS
from trading.unit_of_work import UnitOfWork

_REFUNDABLE = (PaymentStatus.CREDITED, PaymentStatus.PARTIALLY_CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAccount:
    """Command to close an account whose password has just matched ``verified_hash``.

    With ``forfeit_refundable`` the user gives up the money that could still be refunded.
    """

    user_id: UUID
    verified_hash: str
    forfeit_refundable: bool = False


def close_account(uow: UnitOfWork, command: CloseAccount) -> None:
    """Close an account, cancel its open orders, and delete its personal data and watchlist.

    A closed account stays as it is, so running this again changes nothing. Raise Unauthorized if
    the password has changed, PaymentUnderWay, or RefundsForfeited unless the command accepts that.
    """
    session, user_id = uow.session, command.user_id
    # New orders, payments and refunds refer to this row: they are committed before it is locked, or
    # find the account closed.
    user = session.execute(
        select(USERS.c.password_hash, USERS.c.deleted_at)
        .where(USERS.c.id == user_id)
        .with_for_update()
    ).one()
    if user.deleted_at is not None:
        return
    if user.password_hash != command.verified_hash:
        raise Unauthorized
    under_way = _payments_under_way(session, user_id)
    if under_way:
        raise PaymentUnderWay(payment_ids=[payment_id_of(each) for each in under_way])
    if not command.forfeit_refundable:
        _ensure_nothing_is_forfeited(session, user_id)
    accounts.close_account(uow, user_id=user_id)


def _payments_under_way(session: Session, user_id: UUID) -> Sequence[UUID]:
    """Return the payments that may still be paid or have an open refund."""
    pending = select(PAYMENTS.c.id).where(
        PAYMENTS.c.user_id == user_id, PAYMENTS.c.status == PaymentStatus.PENDING
    )
    refunded = select(PAYMENT_REFUNDS.c.payment_id).where(
        PAYMENT_REFUNDS.c.user_id == user_id, PAYMENT_REFUNDS.c.status.in_(OPEN_STATUSES)
    )
    return sorted({*session.scalars(pending), *session.scalars(refunded)})


def _ensure_nothing_is_forfeited(session: Session, user_id: UUID) -> None:
    """Raise RefundsForfeited while credited money could be refunded.

    An account without cash and shares has nothing that a refund could return.
    """
    rows = session.execute(
        select(PAYMENTS.c.id, PAYMENTS.c.amount, PAYMENTS.c.reversed_amount)
        .where(PAYMENTS.c.user_id == user_id, PAYMENTS.c.status.in_(_REFUNDABLE))
        .order_by(PAYMENTS.c.id)
    ).all()
    if rows and _has_assets(session, user_id):
        raise RefundsForfeited(
            refundable=sum(row.amount - row.reversed_amount for row in rows),
            payment_ids=[payment_id_of(row.id) for row in rows],
        )


def _has_assets(session: Session, user_id: UUID) -> bool:
    cash = select(VIRTUAL_BALANCES.c.user_id).where(
        VIRTUAL_BALANCES.c.user_id == user_id, VIRTUAL_BALANCES.c.cash_balance > 0
    )
    shares = select(PORTFOLIOS.c.user_id).where(
        PORTFOLIOS.c.user_id == user_id, PORTFOLIOS.c.quantity > 0
    )
    return any(session.scalar(each.limit(1)) is not None for each in (cash, shares))
