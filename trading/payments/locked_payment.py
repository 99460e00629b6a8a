"""One locked payment with its refunds and its owner's account.

This is the only module that records money which PortOne took in or gave back. Changes are made
to copies in memory and written by ``save``. The row lock prevents concurrent changes; unique
keys in the database reject a second credit or a second reversal in any case.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, Self
from uuid import UUID

from sqlalchemy import insert, select, update

from trading.account_events.new_events import payment_event
from trading.account_events.payloads import PaymentEventData, RefundEventData
from trading.accounts.tables import USERS
from trading.db.ids import new_id
from trading.db.statements import execute_rowcount
from trading.ledger.cash import Account, NewTransaction, lock_accounts, save
from trading.ledger.model import LedgerEntry, TransactionType
from trading.orders.close import cancel_buys_of_overdrawn, has_open_buys
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.alerts import PaymentAlert, open_alert
from trading.payments.decide import PaymentState
from trading.payments.model import payment_id_of
from trading.payments.payment_terms import PaymentTerms
from trading.payments.portone_payment import Cancellation, CancellationStatus
from trading.payments.refund_model import (
    REFUND_TRANSITIONS,
    RefundEvent,
    RefundFailure,
    RefundStatus,
    refund_id_in,
)
from trading.payments.rows import (
    StoredPayment,
    StoredRefund,
    lock_payment,
    read_cancellations,
    read_refunds,
)
from trading.payments.tables import PAYMENT_CANCELLATIONS, PAYMENT_REFUNDS, PAYMENTS
from trading.unit_of_work import UnitOfWork

# A buy placed between the cancellation of the owner's other buys and the lock on the account
# makes another attempt necessary.
ATTEMPTS_MAX = 4


class CashReservedByOpenBuys(Exception):
    """Open buys reserve cash that must be taken back.

    Cancel them first, in a new transaction: order locks come before the account's lock.
    """


class LockedPayment:
    """A payment under lock.

    ``before`` is its row as it was locked, ``after`` the row that ``save`` writes. ``refunds``
    are all refunds of the payment by id, with their changes.
    """

    def __init__(
        self,
        uow: UnitOfWork,
        payment: StoredPayment,
        refunds: Sequence[StoredRefund],
        *,
        attempt: int,
    ) -> None:
        self._uow = uow
        self._session = uow.session
        self._now = uow.now
        self._may_ask_to_cancel_buys = attempt < ATTEMPTS_MAX - 1
        self._account: Account | None = None
        self._debt_before = 0
        self._transactions: list[NewTransaction] = []
        self._alerts: list[PaymentAlert] = []
        self.before = payment
        self.after = payment
        self._refunds_before = {refund.id: refund for refund in refunds}
        self.refunds = dict(self._refunds_before)

    @classmethod
    def lock(cls, uow: UnitOfWork, payment_id: UUID, *, attempt: int = 0) -> Self | None:
        """Lock a payment; return None when there is no such payment.

        From the second attempt on (``attempt`` > 0), cancel its owner's open buys first.
        """
        payment = lock_payment(uow.session, payment_id)
        if payment is None:
            return None
        refunds = read_refunds(uow.session, payment_id)
        if attempt:
            cancel_buys_of_overdrawn(uow, user_id=payment.user_id)
        return cls(uow, payment, refunds, attempt=attempt)

    @property
    def account(self) -> Account:
        """The owner's account, locked at first use."""
        if self._account is None:
            user_id = self.before.user_id
            self._account = lock_accounts(self._session, [user_id])[user_id]
            self._debt_before = self._account.debt
        return self._account

    @property
    def remaining_amount(self) -> int:
        """Part of the amount that has not been reversed by now, in won."""
        return self.after.remaining_amount

    @property
    def open_refunds(self) -> list[StoredRefund]:
        """Refunds that reserve cash, oldest first."""
        return [refund for refund in self.refunds.values() if refund.is_open]

    def state(self, *, test_channel_allowed: bool = False) -> PaymentState:
        """Return the payment as the decision rules need it."""
        recorded = read_cancellations(self._session, self.before.id)
        return PaymentState(
            terms=PaymentTerms(
                payment_id=payment_id_of(self.before.id),
                store_id=self.before.store_id,
                channel_keys=frozenset(self.before.channel_keys.split(",")),
                amount=self.before.amount,
                expires_at=self.before.expires_at,
                test_channel_allowed=test_channel_allowed,
            ),
            status=self.before.status,
            reversed={
                cancellation.cancellation_id: cancellation.amount for cancellation in recorded
            },
            reported_at=self.before.reported_at,
        )

    def set_refund(self, refund: StoredRefund) -> StoredRefund:
        """Replace one of the payment's refunds by its changed copy and return the copy."""
        self.refunds[refund.id] = refund
        return refund

    def alert(self, kind: PaymentAlertKind, detail: str | None = None) -> None:
        """Open an alert about the payment when it is saved."""
        self._alerts.append(PaymentAlert(kind, detail))

    def credit(self) -> None:
        """Record the whole amount as paid.

        The money is credited even if the account was closed in the meantime; an alert is opened
        then.
        """
        self._post(TransactionType.DEPOSIT, amount=self.before.amount, credit_of=self.before.id)
        self.after = self.after._replace(credited_at=self._now)
        deleted_at = self._session.scalar(
            select(USERS.c.deleted_at).where(USERS.c.id == self.before.user_id)
        )
        if deleted_at is not None:
            self.alert(PaymentAlertKind.ACCOUNT_CLOSED)

    def reverse(self, cancellations: Sequence[Cancellation], *, state: PaymentState) -> None:
        """Record ``cancellations``, after which the payment is in ``state``.

        Each cancellation is assigned to the refund that requested it, if any. An open refund
        larger than the remaining amount can no longer succeed, whatever PortOne answers: it
        fails, and its cash is released for the others.
        """
        refunds = {cancellation.id: self._refund_of(cancellation) for cancellation in cancellations}
        self.after = self.after._replace(
            status=state.status, reversed_amount=self.before.amount - state.remaining_amount
        )
        succeeding = {refund.id for refund in refunds.values() if refund}
        for refund in self.open_refunds:
            if refund.id not in succeeding and refund.amount > state.remaining_amount:
                self.fail_refund(refund, RefundFailure.NOTHING_LEFT)
        # Requested refunds first: their cash is reserved, so that only what others took back can
        # leave a debt.
        for cancellation in sorted(cancellations, key=lambda one: refunds[one.id] is None):
            self._record_cancellation(cancellation, refunds[cancellation.id])

    def update_refunds(self, cancellations: Sequence[Cancellation]) -> None:
        """Update open refunds whose cancellation was accepted or failed, without moving money."""
        for cancellation in cancellations:
            refund = self._refund_of(cancellation)
            if refund is None or not refund.is_open:
                continue
            if cancellation.status is CancellationStatus.FAILED:
                self.fail_refund(refund, RefundFailure.CANCELLATION_FAILED)
            elif (
                cancellation.status is CancellationStatus.REQUESTED
                and refund.status is RefundStatus.REQUESTED
            ):
                self.set_refund(
                    refund._replace(
                        status=REFUND_TRANSITIONS.after(refund.status, RefundEvent.ACCEPT),
                        cancellation_id=cancellation.id,
                    )
                )

    def adopt_cancellation(self, refund: StoredRefund, cancellation_id: str) -> bool:
        """Let a refund succeed by a cancellation that is recorded without a refund.

        Return False when there is no such cancellation. A payment gateway that rewrites the
        reason removes the refund's mark, and a check then cannot assign the cancellation.
        """
        unassigned = (
            (PAYMENT_CANCELLATIONS.c.payment_id == self.before.id)
            & (PAYMENT_CANCELLATIONS.c.cancellation_id == cancellation_id)
            & PAYMENT_CANCELLATIONS.c.refund_id.is_(None)
            & (PAYMENT_CANCELLATIONS.c.amount == refund.amount)
        )
        assign = update(PAYMENT_CANCELLATIONS).where(unassigned).values(refund_id=refund.id)
        if execute_rowcount(self._session, assign) == 0:
            return False
        if refund.is_open:
            self.account.release(refund.amount)
        self._succeed(refund, cancellation_id)
        return True

    def fail_refund(self, refund: StoredRefund, failure: str) -> None:
        """End a refund that will not be carried out, and release its reserved cash."""
        self.account.release(refund.amount)
        self.set_refund(
            refund._replace(
                status=REFUND_TRANSITIONS.after(refund.status, RefundEvent.FAIL),
                failure=failure,
                finished_at=self._now,
                next_attempt_at=None,
            )
        )

    def postpone_refund(self, refund: StoredRefund, delay: timedelta) -> None:
        """Schedule the next attempt of a refund after ``delay``."""
        self.set_refund(
            refund._replace(check_count=refund.check_count + 1, next_attempt_at=self._now + delay)
        )

    def save(self) -> None:
        """Write all changes.

        Raises CashReservedByOpenBuys when the account would get into debt while open buys reserve
        cash, except on the last attempt.
        """
        if self._account is not None:
            self._check_debt(self._account)
            save(self._uow, [self._account], self._transactions)
        for refund_id, refund in sorted(self.refunds.items()):
            if columns := _changed_columns(self._refunds_before[refund_id], refund):
                self._session.execute(
                    update(PAYMENT_REFUNDS)
                    .where(PAYMENT_REFUNDS.c.id == refund_id)
                    .values(**columns)
                )
        if columns := _changed_columns(self.before, self.after):
            self._session.execute(
                update(PAYMENTS).where(PAYMENTS.c.id == self.before.id).values(**columns)
            )
        for alert in self._alerts:
            open_alert(self._session, self.before.id, alert, now=self._now)
        self._emit_events()

    def _check_debt(self, account: Account) -> None:
        if account.debt <= self._debt_before:
            return
        if self._may_ask_to_cancel_buys and has_open_buys(self._session, user_id=account.user_id):
            raise CashReservedByOpenBuys
        self.alert(PaymentAlertKind.OVERDRAWN, f"debt {account.debt}")

    def _refund_of(self, cancellation: Cancellation) -> StoredRefund | None:
        """Return the open or failed refund that a cancellation carries out.

        None for a cancellation that no refund requested.
        """
        for refund in self.refunds.values():
            if refund.status is RefundStatus.SUCCEEDED or refund.amount != cancellation.amount:
                continue
            if (
                cancellation.id == refund.cancellation_id
                or refund_id_in(cancellation.reason) == refund.id
            ):
                return refund
        return None

    def _record_cancellation(self, cancellation: Cancellation, refund: StoredRefund | None) -> None:
        identifier = new_id()
        self._session.execute(
            insert(PAYMENT_CANCELLATIONS).values(
                id=identifier,
                payment_id=self.before.id,
                cancellation_id=cancellation.id,
                amount=cancellation.amount,
                triggered_by=cancellation.trigger,
                reason=cancellation.reason,
                refund_id=refund.id if refund else None,
                booked_at=self._now,
            )
        )
        reserved = refund.amount if refund and refund.is_open else 0
        # The cash reserved by an open refund covers it; any other cancellation may take cash that
        # was already spent, and leave a debt.
        self._post(
            TransactionType.REFUND,
            amount=cancellation.amount,
            reserved=reserved,
            may_owe=not reserved,
            reversal_of=identifier,
        )
        if refund:
            self._succeed(refund, cancellation.id)
        elif cancellation.trigger == "CHARGEBACK":
            self.alert(PaymentAlertKind.CHARGEBACK, cancellation.id)

    def _succeed(self, refund: StoredRefund, cancellation_id: str) -> None:
        self.set_refund(
            refund._replace(
                status=REFUND_TRANSITIONS.after(refund.status, RefundEvent.SUCCEED),
                cancellation_id=cancellation_id,
                failure=None,
                finished_at=self._now,
                next_attempt_at=None,
            )
        )

    def _post(
        self,
        kind: TransactionType,
        *,
        amount: int,
        reserved: int = 0,
        may_owe: bool = False,
        credit_of: UUID | None = None,
        reversal_of: UUID | None = None,
    ) -> None:
        entry = LedgerEntry(
            kind=kind,
            amount=amount,
            at=self._now,
            description=self.before.order_name,
            credit_of=credit_of,
            reversal_of=reversal_of,
        )
        self._transactions.append(self.account.post(entry, reserved=reserved, may_owe=may_owe))

    def _emit_events(self) -> None:
        """Emit events for what the owner sees: the payment's state and its refunds' states."""
        if _published_columns(self.before) != _published_columns(self.after):
            self._emit(payment_event_data(self.after))
        for refund_id, refund in sorted(self.refunds.items()):
            if refund.status is not self._refunds_before[refund_id].status:
                self._emit(payment_event_data(self.after, refund))

    def _emit(self, data: PaymentEventData) -> None:
        self._uow.emit(payment_event(self.before.user_id, data, at=self._now))


def payment_event_data(
    payment: StoredPayment, refund: StoredRefund | None = None
) -> PaymentEventData:
    """Return the data of an account event about a payment, or about one of its refunds."""
    refund_data = None
    if refund is not None:
        refund_data = RefundEventData(
            id=str(refund.id), amount=refund.amount, status=refund.status, failure=refund.failure
        )
    return PaymentEventData(
        payment_id=payment_id_of(payment.id),
        status=payment.status,
        amount=payment.amount,
        cancelled_amount=payment.reversed_amount,
        failure=payment.failure,
        refund=refund_data,
    )


def _published_columns(payment: StoredPayment) -> tuple[str | int | None, ...]:
    """Return the columns whose change is announced to the payment's owner."""
    return payment.status, payment.reversed_amount, payment.failure, payment.account_number


def _changed_columns(before: NamedTuple, after: NamedTuple) -> dict[str, object]:
    """Return the values of ``after`` that differ from those of ``before``, by column."""
    values = zip(before._fields, before, after, strict=True)
    return {name: new for name, old, new in values if new != old}
