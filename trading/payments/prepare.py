"""Prepare payments: store the terms first, then pin the amount at PortOne."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import insert, select, update

from trading.db.statements import execute_rowcount
from trading.halts.accounts import ensure_open
from trading.ledger.errors import CashLimitExceeded
from trading.ledger.tables import VIRTUAL_BALANCES
from trading.payments.errors import PaymentServiceRefused, PaymentServiceUnavailable
from trading.payments.model import (
    PAYMENT_TRANSITIONS,
    PaymentEvent,
    PaymentStatus,
    check_amount,
    payment_id_of,
)
from trading.payments.order_names import clean_order_name
from trading.payments.portone.client import PortoneClient
from trading.payments.portone.errors import PortoneError
from trading.payments.portone_payment import KRW
from trading.payments.tables import PAYMENTS
from trading.tasks import Task, TaskRequest
from trading.unit_of_work import UnitOfWork, UseCaseRunner

log = structlog.get_logger(__name__)


# The payment has not been started yet. The browser and PortOne's webhooks usually report earlier.
FIRST_CHECK_AFTER = timedelta(seconds=60)
NOT_REGISTERED = "pre-registration failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """Command to prepare a payment of ``amount`` won.

    ``payment_id`` is chosen by the caller, so that a repeated attempt is recognized.
    """

    payment_id: UUID
    user_id: UUID
    amount: int
    order_name: str


def prepare_payment(core: UseCaseRunner, portone: PortoneClient, command: NewPayment) -> None:
    """Store a payment and pin its amount at PortOne.

    Raises ValidationFailed, CashLimitExceeded, DatabaseUnavailable; PaymentServiceUnavailable or
    PaymentServiceRefused when PortOne did not accept it. The payment is then expired, because its
    id was not returned to anybody.
    """
    settings = core.settings
    payment_id, amount = command.payment_id, command.amount
    check_amount(amount, minimum=settings.payment_amount_min, maximum=settings.payment_amount_max)
    core.run(_insert, replace(command, order_name=clean_order_name(command.order_name)))
    try:
        portone.pre_register(payment_id_of(payment_id), amount=amount)
    except PortoneError as fault:
        log.warning("payment_registration_failed", payment_id=payment_id.hex, reason=str(fault))
        core.run(_expire, payment_id)
        raise (
            PaymentServiceUnavailable if fault.outcome_is_unknown else PaymentServiceRefused
        ) from None


def record_notification(uow: UnitOfWork, payment_id: UUID, *, user_id: UUID | None = None) -> bool:
    """Record that a payment may have news and dispatch a check.

    Return False when it is not a payment of our store, or not of ``user_id`` if given. One indexed
    UPDATE; the check is done even if its task is lost.
    """
    session, now, settings = uow.session, uow.now, uow.settings
    condition = (PAYMENTS.c.id == payment_id) & (PAYMENTS.c.store_id == settings.portone_store_id)
    if user_id is not None:
        condition &= PAYMENTS.c.user_id == user_id
    fallback_at = now + timedelta(milliseconds=settings.wake_grace_ms)
    updated = execute_rowcount(
        session,
        update(PAYMENTS)
        .where(condition)
        .values(
            notification_count=PAYMENTS.c.notification_count + 1,
            check_count=0,
            next_attempt_at=fallback_at,
        ),
    )
    if updated:
        uow.after_commit(TaskRequest(Task.VERIFY_PAYMENT, (payment_id,)))
    return updated == 1


def _insert(uow: UnitOfWork, command: NewPayment) -> None:
    payment_id, user_id, amount = command.payment_id, command.user_id, command.amount
    session, now, settings = uow.session, uow.now, uow.settings
    # The COMMIT of an earlier attempt may have succeeded.
    if session.scalar(select(PAYMENTS.c.id).where(PAYMENTS.c.id == payment_id)) is not None:
        return
    cash = (
        session.scalar(
            select(VIRTUAL_BALANCES.c.cash_balance).where(VIRTUAL_BALANCES.c.user_id == user_id)
        )
        or 0
    )
    if cash + amount > settings.cash_max:
        raise CashLimitExceeded(limit=settings.cash_max)
    session.execute(
        insert(PAYMENTS).values(
            id=payment_id,
            user_id=user_id,
            order_name=command.order_name,
            amount=amount,
            currency=KRW,
            store_id=settings.portone_store_id,
            channel_keys=",".join(settings.channel_keys),
            status=PaymentStatus.PENDING,
            reversed_amount=0,
            created_at=now,
            expires_at=now + timedelta(minutes=settings.payment_expiry_minutes),
            check_count=0,
            notification_count=0,
            next_attempt_at=now + FIRST_CHECK_AFTER,
        )
    )
    ensure_open(session, user_id)


def _expire(uow: UnitOfWork, payment_id: UUID) -> None:
    session = uow.session
    expired = PAYMENT_TRANSITIONS.after(PaymentStatus.PENDING, PaymentEvent.EXPIRE)
    session.execute(
        update(PAYMENTS)
        .where(PAYMENTS.c.id == payment_id, PAYMENTS.c.status == PaymentStatus.PENDING)
        .values(status=expired, failure=NOT_REGISTERED, next_attempt_at=None)
    )
