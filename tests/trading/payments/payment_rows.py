"""Payments inserted as rows, for tests that need payments but no PortOne."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import insert

from tests.support.trading_harness import TradingHarness
from trading.config.settings import PORTONE_DEVELOPMENT_CHANNEL_KEY, PORTONE_DEVELOPMENT_STORE_ID
from trading.db.ids import new_id
from trading.ledger.cash import lock_accounts, save
from trading.ledger.model import LedgerEntry, TransactionType
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.model import PaymentStatus
from trading.payments.portone_payment import KRW
from trading.payments.refund_model import RefundStatus
from trading.payments.refunds import RequestRefund, request_refund
from trading.payments.tables import PAYMENT_ALERTS, PAYMENT_CANCELLATIONS, PAYMENT_REFUNDS, PAYMENTS
from trading.unit_of_work import UnitOfWork


def partly_refunded_payment(harness: TradingHarness, user: UUID) -> UUID:
    """Insert a credited payment of 10,000 won with two reversals and an alert; return its id.

    3,000 won were given back by a refund of the user, 2,000 won otherwise.
    """
    return harness.core.run(_write, user)


def hold_for_refund(harness: TradingHarness, user: UUID, payment_id: UUID, amount: int) -> None:
    """Insert a requested refund that has not been processed."""
    refund_id = new_id()
    harness.core.run(
        request_refund,
        RequestRefund(
            refund_id=refund_id,
            payment_id=payment_id,
            user_id=user,
            amount=amount,
            reason="환불",
        ),
    )


def _write(uow: UnitOfWork, user: UUID) -> UUID:
    session, now = uow.session, uow.now
    payment, refund = new_id(), new_id()
    cancellations = [(new_id(), 3_000, refund), (new_id(), 2_000, None)]
    session.execute(
        insert(PAYMENTS).values(
            id=payment,
            user_id=user,
            order_name="충전",
            amount=10_000,
            currency=KRW,
            store_id=PORTONE_DEVELOPMENT_STORE_ID,
            channel_keys=PORTONE_DEVELOPMENT_CHANNEL_KEY,
            status=PaymentStatus.PARTIALLY_CANCELLED,
            reversed_amount=5_000,
            created_at=now,
            expires_at=now + timedelta(minutes=30),
            credited_at=now,
            check_count=1,
            notification_count=1,
        )
    )
    session.execute(
        insert(PAYMENT_REFUNDS).values(
            id=refund,
            payment_id=payment,
            user_id=user,
            amount=3_000,
            status=RefundStatus.SUCCEEDED,
            reason="환불",
            cancellable=10_000,
            requested_at=now,
            first_sent_at=now,
            send_count=1,
            check_count=0,
            cancellation_id=str(cancellations[0][0]),
            finished_at=now,
        )
    )
    account = lock_accounts(session, [user])[user]
    transactions = [
        account.post(
            LedgerEntry(kind=TransactionType.DEPOSIT, amount=10_000, at=now, credit_of=payment)
        )
    ]
    for identifier, amount, asked_by in cancellations:
        session.execute(
            insert(PAYMENT_CANCELLATIONS).values(
                id=identifier,
                payment_id=payment,
                cancellation_id=str(identifier),
                amount=amount,
                refund_id=asked_by,
                booked_at=now,
            )
        )
        transactions.append(
            account.post(
                LedgerEntry(
                    kind=TransactionType.REFUND, amount=amount, at=now, reversal_of=identifier
                )
            )
        )
    save(uow, [account], transactions)
    session.execute(
        insert(PAYMENT_ALERTS).values(
            payment_id=payment, kind=PaymentAlertKind.CHARGEBACK, times=1, raised_at=now
        )
    )
    return payment
