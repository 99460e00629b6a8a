"""Payments as PortOne keeps them: what moves one from a status to another, and what is told of it.

Written from PortOne's documents alone and sharing nothing with the code that talks to it, so that neither confirms a mistake of the
other. Absent members are left out, never null, and times have nine fractional digits or none, as the real ones do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trading.settings import PORTONE_DEVELOPMENT_CHANNEL_KEY
from trading.settings import PORTONE_DEVELOPMENT_STORE_ID as STORE_ID

CANCELLATIONS_MAX = 50

# What the payer, his bank or an operator does: from which status to which.
MOVES: dict[tuple[str, str], str] = {
    ("READY", "pay"): "PAID",
    ("READY", "fail"): "FAILED",
    ("READY", "pend"): "PAY_PENDING",
    ("PAY_PENDING", "approve"): "PAID",
    ("PAY_PENDING", "reject"): "FAILED",
    ("READY", "issue-account"): "VIRTUAL_ACCOUNT_ISSUED",
    ("VIRTUAL_ACCOUNT_ISSUED", "deposit"): "PAID",
    ("VIRTUAL_ACCOUNT_ISSUED", "close-account"): "FAILED",
    ("FAILED", "approve-late"): "PAID",
}
_PAID = ("PAID", "PARTIAL_CANCELLED", "CANCELLED")


class Refusal(Exception):
    """What PortOne answers instead: an HTTP status and a type."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(status, kind)
        self.status = status
        self.kind = kind


@dataclass(slots=True, kw_only=True)
class _Payment:
    id: str
    transaction_id: str
    total: int
    currency: str
    order_name: str
    channel_type: str
    slow_cancellations: bool
    requested_at: datetime
    status: str = "READY"
    changed_at: datetime | None = None
    paid_at: datetime | None = None
    by_account: bool = False
    cancellations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cancelled(self) -> int:
        return sum(entry["totalAmount"] for entry in self.cancellations if entry["status"] == "SUCCEEDED")


class Payments:
    """All payments of one store, by id. ``clock`` gives aware UTC times."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._pinned: dict[str, dict[str, Any]] = {}
        self._payments: dict[str, _Payment] = {}
        self._numbers = 0

    def pre_register(self, payment_id: str, amount: int | None, currency: str | None) -> None:
        """Pin what the browser may begin the payment with; None pins nothing."""
        payment = self._payments.get(payment_id)
        if payment is not None and payment.status in _PAID:
            raise Refusal(409, "ALREADY_PAID")
        self._pinned[payment_id] = {"amount": amount, "currency": currency}

    def open(
        self,
        payment_id: str,
        *,
        amount: int,
        currency: str = "KRW",
        order_name: str = "충전",
        channel_type: str = "TEST",
        slow_cancellations: bool = False,
    ) -> None:
        """The browser opens the payment's window: a new attempt, unless it was paid or differs from what was pinned."""
        before = self._payments.get(payment_id)
        if before is not None and before.status not in {"READY", "FAILED"}:
            raise Refusal(409, "PaymentAlreadyPaid")
        pinned = self._pinned.get(payment_id, {})
        if pinned.get("amount") not in (None, amount) or pinned.get("currency") not in (None, currency):
            raise Refusal(409, "AmountNotEqualToPredefined")
        self._payments[payment_id] = _Payment(
            id=payment_id,
            transaction_id=self._identifier("f28f"),
            total=amount,
            currency=currency,
            order_name=order_name,
            channel_type=channel_type,
            slow_cancellations=slow_cancellations,
            requested_at=self._clock(),
        )

    def move(self, payment_id: str, name: str) -> None:
        """One of MOVES; 409 where it leads nowhere."""
        payment = self._found(payment_id)
        if (payment.status, name) not in MOVES:
            raise Refusal(409, "NO_SUCH_MOVE")
        payment.by_account = payment.status == "VIRTUAL_ACCOUNT_ISSUED"
        payment.status = MOVES[payment.status, name]
        payment.changed_at = self._clock()
        if payment.status == "PAID":
            payment.paid_at = payment.changed_at

    def close_account(self, payment_id: str) -> None:
        """Close an account that waits for its deposit."""
        if self._found(payment_id).status != "VIRTUAL_ACCOUNT_ISSUED":
            raise Refusal(409, "PAYMENT_NOT_WAITING_FOR_DEPOSIT")
        self.move(payment_id, "close-account")

    def cancel(
        self,
        payment_id: str,
        *,
        reason: str,
        amount: int | None = None,
        cancellable: int | None = None,
        has_refund_account: bool = False,
        trigger: str = "API",
    ) -> dict[str, Any]:
        """The cancellation of ``amount``, or of all that is left; ``cancellable`` is what the caller thinks is left."""
        payment = self._found(payment_id)
        if payment.status not in _PAID:
            raise Refusal(409, "PAYMENT_NOT_PAID")
        left = payment.total - payment.cancelled
        if left == 0:
            raise Refusal(409, "PAYMENT_ALREADY_CANCELLED")
        if cancellable not in (None, left):
            raise Refusal(409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")
        if amount is not None and amount > left:
            raise Refusal(409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
        if len(payment.cancellations) >= CANCELLATIONS_MAX:
            raise Refusal(409, "MAX_CANCEL_COUNT_REACHED")
        if payment.by_account and not has_refund_account:
            raise Refusal(400, "INVALID_REQUEST")
        entry = {
            "status": "REQUESTED",
            "id": self._identifier("e720"),
            "totalAmount": left if amount is None else amount,
            "taxFreeAmount": 0,
            "vatAmount": _eleventh(left if amount is None else amount),
            "reason": reason,
            "requestedAt": _time(self._clock()),
            "trigger": trigger,
        }
        payment.cancellations.append(entry)
        if not (payment.slow_cancellations and trigger == "API"):
            self._succeed(payment, entry)
        return dict(entry)

    def settle_cancellation(self, payment_id: str, *, succeeds: bool) -> None:
        """The payment gateway's word on the oldest cancellation that waits for it."""
        payment = self._found(payment_id)
        waiting = [entry for entry in payment.cancellations if entry["status"] == "REQUESTED"]
        if not waiting:
            raise Refusal(409, "NO_SUCH_MOVE")
        if succeeds and waiting[0]["totalAmount"] <= payment.total - payment.cancelled:
            self._succeed(payment, waiting[0])
        else:
            waiting[0]["status"] = "FAILED"

    def document(self, payment_id: str) -> dict[str, Any]:
        """The payment as ``GET /payments/{id}`` answers it."""
        payment = self._found(payment_id)
        changed_at = payment.changed_at or payment.requested_at
        members: dict[str, Any] = {
            "status": payment.status,
            "id": payment.id,
            "transactionId": payment.transaction_id,
            "merchantId": "merchant-00000000-0000-4000-8000-000000000001",
            "storeId": STORE_ID,
            "version": "V2",
            "requestedAt": _time(payment.requested_at, fraction=True),
            "updatedAt": _time(changed_at, fraction=True),
            "statusChangedAt": _time(changed_at),
            "orderName": payment.order_name,
            "amount": self._amount(payment),
            "currency": payment.currency,
            "customer": {"id": "payer"},
            "origin": {"platformType": "PC", "ipAddress": "127.0.0.1"},
            "channel": {
                "type": payment.channel_type,
                "id": "channel-id-00000000-0000-4000-8000-000000000001",
                "key": PORTONE_DEVELOPMENT_CHANNEL_KEY,
                "name": "sandbox",
                "pgProvider": "TOSSPAYMENTS",
                "pgMerchantId": "sandbox",
            },
        }
        if payment.paid_at:
            members["paidAt"] = _time(payment.paid_at)
        if payment.status == "PAID":
            members["disputes"] = []
        if payment.cancellations:
            members["cancellations"] = [dict(entry) for entry in payment.cancellations]
        if payment.status in {"PARTIAL_CANCELLED", "CANCELLED"}:
            members["cancelledAt"] = _time(changed_at)
        if payment.status == "FAILED":
            members["failedAt"] = _time(changed_at)
            members["failure"] = {"reason": "[PAY_PROCESS_CANCELED] 사용자가 결제를 취소하였습니다"}
        if payment.status == "VIRTUAL_ACCOUNT_ISSUED":
            members["method"] = {
                "type": "PaymentMethodVirtualAccount",
                "bank": "KOOKMIN",
                "accountNumber": "X0000000000001",
            }
        return members

    def _found(self, payment_id: str) -> _Payment:
        try:
            return self._payments[payment_id]
        except KeyError:
            raise Refusal(404, "PAYMENT_NOT_FOUND") from None

    def _succeed(self, payment: _Payment, entry: dict[str, Any]) -> None:
        payment.changed_at = self._clock()
        entry["status"], entry["cancelledAt"] = "SUCCEEDED", _time(payment.changed_at)
        payment.status = "CANCELLED" if payment.cancelled == payment.total else "PARTIAL_CANCELLED"

    def _amount(self, payment: _Payment) -> dict[str, int]:
        vat = _eleventh(payment.total)
        return {
            "total": payment.total,
            "taxFree": 0,
            "vat": vat,
            "supply": payment.total - vat,
            "discount": 0,
            "paid": payment.total,  # Of a payment that failed, too: nobody may take it for money.
            "cancelled": payment.cancelled,
            "cancelledTaxFree": 0,
        }

    def _identifier(self, kind: str) -> str:
        self._numbers += 1
        return f"019b7721-b400-{kind}-9452-{self._numbers:012x}"


def _eleventh(amount: int) -> int:
    """The tax inside an amount, rounded to the nearest."""
    return (2 * amount + 11) // 22


def _time(at: datetime, *, fraction: bool = False) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z" if fraction else "%Y-%m-%dT%H:%M:%SZ")
