"""One payment under lock, with its refunds and its owner's account: the only place that books what PortOne took in or gave back.

Changes are made to working copies and written by ``save``. The database keeps a credit and a reversal from being booked twice, and the lock keeps
anybody from trying.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_payment_event
from trading.accounts.tables import USERS
from trading.db.ids import new_id
from trading.db.statements import AnyRow, execute_rowcount
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.model import TransactionType
from trading.orders.close import cancel_buys_of_overdrawn, has_open_buys
from trading.payments import decide, refund_model
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.alerts import PaymentAlert, open_alert
from trading.payments.checks import PaymentTerms
from trading.payments.model import PaymentStatus, payment_id_of
from trading.payments.portone_payment import Cancellation, CancellationStatus
from trading.payments.refund_model import RefundEvent, RefundFailure, RefundStatus, refund_id_in
from trading.payments.tables import PAYMENT_CANCELLATIONS, PAYMENT_REFUNDS, PAYMENTS

# A buy that slips in between its owner's other buys being cancelled and his account being locked makes one more attempt necessary.
ATTEMPTS_MAX = 4


class CashReservedByOpenBuys(Exception):
    """Open buys reserve cash that is taken back. They are to be cancelled first, in a new transaction, as their locks come before the account's."""


class LockedPayment:
    """``refunds`` are all of the payment's, by id, as working copies of their rows."""

    def __init__(
        self,
        session: Session,
        row: AnyRow,
        refund_rows: Sequence[AnyRow],
        *,
        now: datetime,
        attempt: int,
    ) -> None:
        self._session = session
        self._now = now
        self._may_interrupt = attempt < ATTEMPTS_MAX - 1
        self._account: Account | None = None
        self._debt_before = 0
        self._transactions: list[dict[str, Any]] = []
        self._changed_refunds: set[UUID] = set()
        self._changes: dict[str, Any] = {}
        self._alerts: list[PaymentAlert] = []
        self.row = row
        self.refunds: dict[UUID, dict[str, Any]] = {
            refund.id: refund._asdict() for refund in refund_rows
        }
        self._statuses_before = {refund.id: refund.status for refund in refund_rows}

    @classmethod
    def lock(
        cls, session: Session, payment_id: UUID, *, now: datetime, attempt: int = 0
    ) -> Self | None:
        """Lock a payment; None when there is none. From the second attempt on its owner's open buys are cancelled first."""
        row = session.execute(
            select(PAYMENTS).where(PAYMENTS.c.id == payment_id).with_for_update()
        ).one_or_none()
        if row is None:
            return None
        refund_rows = session.execute(
            select(PAYMENT_REFUNDS)
            .where(PAYMENT_REFUNDS.c.payment_id == payment_id)
            .order_by(PAYMENT_REFUNDS.c.id)
        ).all()
        if attempt:
            cancel_buys_of_overdrawn(session, user_id=row.user_id, now=now)
        return cls(session, row, refund_rows, now=now, attempt=attempt)

    @property
    def account(self) -> Account:
        """The owner's, locked when it is first needed."""
        if self._account is None:
            self._account = lock_accounts(self._session, [self.row.user_id])[self.row.user_id]
            self._debt_before = self._account.debt
        return self._account

    @property
    def left(self) -> int:
        """What of the amount was not given back by now (won)."""
        left: int = self.row.amount - self._changes.get("reversed_amount", self.row.reversed_amount)
        return left

    @property
    def open_refunds(self) -> list[dict[str, Any]]:
        """Those that hold cash back, oldest first."""
        return [
            refund
            for refund in self.refunds.values()
            if refund["status"] in refund_model.OPEN_STATUSES
        ]

    def payment(self, *, test_channel_allowed: bool = False) -> decide.PaymentState:
        """The payment as the rules see it."""
        booked = self._session.execute(
            select(PAYMENT_CANCELLATIONS.c.cancellation_id, PAYMENT_CANCELLATIONS.c.amount).where(
                PAYMENT_CANCELLATIONS.c.payment_id == self.row.id
            )
        ).all()
        return decide.PaymentState(
            terms=PaymentTerms(
                payment_id=payment_id_of(self.row.id),
                store_id=self.row.store_id,
                channel_keys=frozenset(self.row.channel_keys.split(",")),
                amount=self.row.amount,
                expires_at=self.row.expires_at,
                test_channel_allowed=test_channel_allowed,
            ),
            status=PaymentStatus(self.row.status),
            reversed={row.cancellation_id: row.amount for row in booked},
            reported_at=self.row.reported_at,
        )

    def change(self, **columns: Any) -> None:
        """Set columns of the payment."""
        self._changes |= columns

    def change_refund(self, refund: dict[str, Any], **columns: Any) -> None:
        """Set columns of one of its refunds."""
        refund |= columns
        self._changed_refunds.add(refund["id"])

    def alert(self, kind: PaymentAlertKind, detail: str | None = None) -> None:
        self._alerts.append(PaymentAlert(kind, detail))

    def credit(self) -> None:
        """Book the whole amount as paid. It is booked for an account that was closed meanwhile as well, and a person told."""
        self._post(TransactionType.DEPOSIT, amount=self.row.amount, credit_of=self.row.id)
        self.change(credited_at=self._now)
        if (
            self._session.scalar(select(USERS.c.deleted_at).where(USERS.c.id == self.row.user_id))
            is not None
        ):
            self.alert(PaymentAlertKind.ACCOUNT_CLOSED)

    def reverse(self, cancellations: Sequence[Cancellation], *, after: decide.PaymentState) -> None:
        """Book these cancellations, by which the payment becomes ``after``, each to the refund of ours that asked for it, if any did.

        A refund that is of more than is left then can't succeed any more, whatever PortOne answers: it fails, and its cash is free for the others.
        """
        asked_by = {
            cancellation.id: self._refund_of(cancellation) for cancellation in cancellations
        }
        self.change(status=after.status, reversed_amount=self.row.amount - after.left)
        mine = {refund["id"] for refund in asked_by.values() if refund}
        for refund in self.open_refunds:
            if refund["id"] not in mine and refund["amount"] > after.left:
                self.fail_refund(refund, RefundFailure.NOTHING_LEFT)
        # Ours first: their cash is set aside, and what others took back is then short of what really is missing.
        for cancellation in sorted(cancellations, key=lambda one: asked_by[one.id] is None):
            self._book(cancellation, asked_by[cancellation.id])

    def follow(self, cancellations: Sequence[Cancellation]) -> None:
        """Let refunds of ours go along with what their cancellations are, as far as those have not moved money."""
        for cancellation in cancellations:
            refund = self._refund_of(cancellation)
            if refund is None or refund["status"] not in refund_model.OPEN_STATUSES:
                continue
            if cancellation.status is CancellationStatus.FAILED:
                self.fail_refund(refund, RefundFailure.CANCELLATION_FAILED)
            elif (
                cancellation.status is CancellationStatus.REQUESTED
                and refund["status"] == RefundStatus.REQUESTED
            ):
                self.change_refund(
                    refund,
                    status=refund_model.REFUND_TRANSITIONS.after(
                        RefundStatus.REQUESTED, RefundEvent.ACCEPT
                    ),
                    cancellation_id=cancellation.id,
                )

    def adopt(self, refund: dict[str, Any], cancellation_id: str) -> bool:
        """Let a refund have succeeded by a cancellation that was booked as somebody else's; false when there is none.

        A payment gateway that rewrites the reason takes the refund's mark from it, and a look can't tell then whose it is.
        """
        found = (PAYMENT_CANCELLATIONS.c.payment_id == self.row.id) & (
            PAYMENT_CANCELLATIONS.c.cancellation_id == cancellation_id
        )
        nobodys = (
            found
            & PAYMENT_CANCELLATIONS.c.refund_id.is_(None)
            & (PAYMENT_CANCELLATIONS.c.amount == refund["amount"])
        )
        if (
            execute_rowcount(
                self._session,
                update(PAYMENT_CANCELLATIONS).where(nobodys).values(refund_id=refund["id"]),
            )
            == 0
        ):
            return False
        if refund["status"] in refund_model.OPEN_STATUSES:
            self.account.release(refund["amount"])
        self._succeed(refund, cancellation_id)
        return True

    def fail_refund(self, refund: dict[str, Any], failure: str) -> None:
        """End a refund that will not be carried out, and release the cash that it held back."""
        status = refund_model.REFUND_TRANSITIONS.after(
            RefundStatus(refund["status"]), RefundEvent.FAIL
        )
        self.account.release(refund["amount"])
        self.change_refund(
            refund, status=status, failure=failure, finished_at=self._now, next_attempt_at=None
        )

    def postpone_refund(self, refund: dict[str, Any], span: timedelta) -> None:
        """Have a refund pursued again after so long."""
        self.change_refund(
            refund, check_count=refund["check_count"] + 1, next_attempt_at=self._now + span
        )

    def save(self) -> None:
        """Write it all. Raises BuysHoldCash where the account would get into debt while open buys reserve cash."""
        if self._account is not None:
            self._look_at_debt(self._account)
            save(self._session, [self._account], self._transactions, now=self._now)
        for refund_id in sorted(self._changed_refunds):
            refund = self.refunds[refund_id]
            self._session.execute(
                update(PAYMENT_REFUNDS).where(PAYMENT_REFUNDS.c.id == refund_id).values(**refund)
            )
        if self._changes:
            self._session.execute(
                update(PAYMENTS).where(PAYMENTS.c.id == self.row.id).values(**self._changes)
            )
        for alert in self._alerts:
            open_alert(self._session, self.row.id, alert, now=self._now)
        self._note()

    def _look_at_debt(self, account: Account) -> None:
        if account.debt <= self._debt_before:
            return
        if self._may_interrupt and has_open_buys(self._session, user_id=account.user_id):
            raise CashReservedByOpenBuys
        self.alert(PaymentAlertKind.OVERDRAWN, f"debt {account.debt}")

    def _refund_of(self, cancellation: Cancellation) -> dict[str, Any] | None:
        """The refund of ours that a cancellation carries out, open or failed; None for one that somebody else asked for."""
        for refund in self.refunds.values():
            if (
                refund["status"] == RefundStatus.SUCCEEDED
                or refund["amount"] != cancellation.amount
            ):
                continue
            if (
                cancellation.id == refund["cancellation_id"]
                or refund_id_in(cancellation.reason) == refund["id"]
            ):
                return refund
        return None

    def _book(self, cancellation: Cancellation, refund: dict[str, Any] | None) -> None:
        identifier = new_id()
        self._session.execute(
            insert(PAYMENT_CANCELLATIONS).values(
                id=identifier,
                payment_id=self.row.id,
                cancellation_id=cancellation.id,
                amount=cancellation.amount,
                triggered_by=cancellation.trigger,
                reason=cancellation.reason,
                refund_id=refund["id"] if refund else None,
                booked_at=self._now,
            )
        )
        held = refund["amount"] if refund and refund["status"] in refund_model.OPEN_STATUSES else 0
        # What a refund of ours held back is enough for it; anything else may take what was spent already.
        self._post(
            TransactionType.REFUND,
            amount=cancellation.amount,
            reserved=held,
            may_owe=not held,
            reversal_of=identifier,
        )
        if refund:
            self._succeed(refund, cancellation.id)
        elif cancellation.trigger == "CHARGEBACK":
            self.alert(PaymentAlertKind.CHARGEBACK, cancellation.id)

    def _succeed(self, refund: dict[str, Any], cancellation_id: str) -> None:
        status = refund_model.REFUND_TRANSITIONS.after(
            RefundStatus(refund["status"]), RefundEvent.SUCCEED
        )
        self.change_refund(
            refund,
            status=status,
            cancellation_id=cancellation_id,
            failure=None,
            finished_at=self._now,
            next_attempt_at=None,
        )

    def _post(self, kind: TransactionType, **more: Any) -> None:
        self._transactions.append(
            self.account.post(kind, at=self._now, description=self.row.order_name, **more)
        )

    def _note(self) -> None:
        """Tell the owner what changed for him: the payment's state, where to pay it, why it failed, and his refunds."""
        now_so = {**self.row._asdict(), **self._changes}
        told = ("status", "reversed_amount", "failure", "account_number")
        before = self.row._asdict()
        if any(before[column] != now_so[column] for column in told):
            emit_payment_event(self._session, now_so, at=self._now)
        for refund_id, refund in sorted(self.refunds.items()):
            if refund["status"] != self._statuses_before[refund_id]:
                emit_payment_event(self._session, now_so, at=self._now, refund=refund)
