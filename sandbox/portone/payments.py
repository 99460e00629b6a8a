"""What moves payments from one status to another, and what PortOne tells of it by webhooks."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.portone.documents import Payment, document, eleventh, time
from sandbox.portone.merchant import CHANNELS, LIVE_CHANNEL_KEY, STORE_ID

CANCELLATIONS_MAX = 50
ACCOUNT_LIFE = timedelta(days=3)

# What the payer, his bank or an operator does: from which status to which.
MOVES: dict[tuple[str, str], str] = {
    ("READY", "pay"): "PAID",
    ("READY", "fail"): "FAILED",
    ("READY", "close"): "FAILED",
    ("READY", "pend"): "PAY_PENDING",
    ("PAY_PENDING", "approve"): "PAID",
    ("PAY_PENDING", "reject"): "FAILED",
    ("READY", "issue-account"): "VIRTUAL_ACCOUNT_ISSUED",
    ("VIRTUAL_ACCOUNT_ISSUED", "deposit"): "PAID",
    ("VIRTUAL_ACCOUNT_ISSUED", "close-account"): "FAILED",
    ("FAILED", "approve-late"): "PAID",
}
FAILURES = {
    "fail": ("CARD_REJECTED", "카드사에서 승인을 거절하였습니다"),
    "reject": ("CARD_REJECTED", "카드사에서 승인을 거절하였습니다"),
    "close": ("PAY_PROCESS_CANCELED", "사용자가 결제를 취소하였습니다"),
    "close-account": ("ACCOUNT_CLOSED", "가상계좌가 말소되었습니다"),
}
TOLD = {
    "READY": "Transaction.Ready",
    "PAY_PENDING": "Transaction.PayPending",
    "VIRTUAL_ACCOUNT_ISSUED": "Transaction.VirtualAccountIssued",
    "PAID": "Transaction.Paid",
    "FAILED": "Transaction.Failed",
    "PARTIAL_CANCELLED": "Transaction.PartialCancelled",
    "CANCELLED": "Transaction.Cancelled",
}
# What PortOne says of why it sends a webhook that no request of the shop's or the browser's caused.
TRIGGERS = {
    "deposit": "VIRTUAL_ACCOUNT_DEPOSIT",
    "approve": "ASYNC_PAY_APPROVED",
    "reject": "ASYNC_PAY_FAILED",
    "pend": "ASYNC_PAY_PENDING",
}
_PAID = ("PAID", "PARTIAL_CANCELLED", "CANCELLED")


class Refusal(Exception):
    """What PortOne answers instead: an HTTP status and a type."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(status, kind)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell the shop: a webhook's type and data, and the payment's status at that moment."""

    type: str
    data: dict[str, str]
    at: datetime
    payment_id: str
    payment_status: str
    notice_urls: tuple[str, ...] = ()
    trigger: str | None = None


class Payments:
    """All payments of one store, by id. ``clock`` gives aware UTC times; ``rng`` makes ids. What happened waits in ``events`` to be told."""

    def __init__(self, clock: Callable[[], datetime], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._pinned: dict[str, dict[str, Any]] = {}
        self._payments: dict[str, Payment] = {}
        self.events: list[Event] = []
        self.cancellations_max = CANCELLATIONS_MAX

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
        channel_key: str = LIVE_CHANNEL_KEY,
        channel_type: str | None = None,
        slow_cancellations: bool = False,
        custom_data: str | None = None,
        notice_urls: tuple[str, ...] = (),
    ) -> Payment:
        """The browser opens the payment's window: a new attempt, unless it was paid or differs from what was pinned."""
        before = self._payments.get(payment_id)
        if before is not None and before.status not in {"READY", "FAILED"}:
            raise Refusal(409, "PaymentAlreadyPaid")
        if channel_key not in CHANNELS:
            raise Refusal(404, "ChannelNotFound")
        pinned = self._pinned.get(payment_id, {})
        if pinned.get("amount") not in (None, amount) or pinned.get("currency") not in (
            None,
            currency,
        ):
            raise Refusal(409, "AmountNotEqualToPredefined")
        channel = CHANNELS[channel_key]
        if channel_type is not None:
            channel = replace(channel, type=channel_type)
        self._payments[payment_id] = payment = Payment(
            id=payment_id,
            transaction_id=self.identifier(),
            total=amount,
            currency=currency,
            order_name=order_name,
            channel=channel,
            slow_cancellations=slow_cancellations or channel.slow_cancellations,
            requested_at=self._clock(),
            custom_data=custom_data,
            notice_urls=notice_urls,
            earlier=[] if before is None else [*before.earlier, document(before)],
        )
        self._tell(payment, "Transaction.Ready")
        return payment

    def move(self, payment_id: str, name: str, *, amount: int | None = None) -> None:
        """One of MOVES; 409 where it leads nowhere. ``amount`` is what is paid in place of what the window was opened with."""
        payment = self.payment(payment_id)
        if (payment.status, name) not in MOVES:
            raise Refusal(409, "NO_SUCH_MOVE")
        if payment.channel.manual and name == "pay" and payment.token is None:
            payment.token = self.identifier()
            return
        self._change(payment, name)
        if amount is not None:
            payment.total = amount
        # What becomes of an account that is closed no webhook tells.
        if name != "close-account":
            self._tell(payment, TOLD[payment.status], trigger=TRIGGERS.get(name))

    def confirm(self, payment_id: str, *, token: str, **claims: object) -> dict[str, str]:
        """The shop confirms a payment of a manual channel. ``claims`` are what it thinks of it, None for what it does not say."""
        payment = self.payment(payment_id)
        if payment.status in _PAID:
            raise Refusal(409, "ALREADY_PAID")
        if payment.token is None or token != payment.token:
            raise Refusal(400, "INVALID_PAYMENT_TOKEN")
        facts = {
            "txId": payment.transaction_id,
            "currency": payment.currency,
            "totalAmount": payment.total,
            "taxFreeAmount": 0,
            "isTest": payment.channel.type == "TEST",
        }
        if any(claim is not None and facts[name] != claim for name, claim in claims.items()):
            raise Refusal(409, "INFORMATION_MISMATCH")
        self.move(payment_id, "pay")
        return {"pgTxId": payment.pg_transaction_id, "paidAt": time(self._clock())}

    def close_account(self, payment_id: str) -> None:
        """Close an account that waits for its deposit."""
        if self.payment(payment_id).status != "VIRTUAL_ACCOUNT_ISSUED":
            raise Refusal(409, "PAYMENT_NOT_WAITING_FOR_DEPOSIT")
        self.move(payment_id, "close-account")

    def cancel(
        self,
        payment_id: str,
        *,
        reason: str,
        amount: int | None = None,
        tax_free: int = 0,
        vat: int | None = None,
        cancellable: int | None = None,
        has_refund_account: bool = False,
        trigger: str = "API",
        silent: bool = False,
    ) -> dict[str, Any]:
        """The cancellation of ``amount``, or of all that is left; ``cancellable`` is what the caller thinks is left."""
        payment = self.payment(payment_id)
        if payment.status not in _PAID:
            raise Refusal(409, "PAYMENT_NOT_PAID")
        left = payment.total - payment.cancelled
        if left == 0:
            raise Refusal(409, "PAYMENT_ALREADY_CANCELLED")
        if cancellable not in (None, left):
            raise Refusal(409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")
        returned = left if amount is None else amount
        if returned > left:
            raise Refusal(409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
        if tax_free + (vat or 0) > returned:
            raise Refusal(409, "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT")
        if tax_free > 0:
            raise Refusal(409, "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT")
        if len(payment.cancellations) >= self.cancellations_max:
            raise Refusal(409, "MAX_CANCEL_COUNT_REACHED")
        if payment.by_account and not has_refund_account:
            raise Refusal(400, "INVALID_REQUEST")
        entry = {
            "status": "REQUESTED",
            "id": self.identifier(),
            "totalAmount": returned,
            "taxFreeAmount": 0,
            "vatAmount": eleventh(returned) if vat is None else vat,
            "reason": reason,
            "requestedAt": time(self._clock()),
            "trigger": trigger,
        }
        self._remember(payment)
        payment.cancellations.append(entry)
        if payment.slow_cancellations and trigger == "API":
            payment.changed_at = self._clock()
            self._tell(payment, "Transaction.CancelPending", cancellation=entry, silent=silent)
        else:
            self._succeed(payment, entry, silent=silent)
        return dict(entry)

    def settle_cancellation(self, payment_id: str, *, succeeds: bool) -> None:
        """The payment gateway's word on the oldest cancellation that waits for it."""
        payment = self.payment(payment_id)
        waiting = [entry for entry in payment.cancellations if entry["status"] == "REQUESTED"]
        if not waiting:
            raise Refusal(409, "NO_SUCH_MOVE")
        self._remember(payment)
        if succeeds and waiting[0]["totalAmount"] <= payment.total - payment.cancelled:
            self._succeed(payment, waiting[0], trigger="ASYNC_CANCEL_APPROVED")
        else:
            # PortOne has a word for why a webhook of this would be sent, but no type for such a webhook.
            waiting[0]["status"] = "FAILED"
            payment.changed_at = self._clock()

    def dispute(self, payment_id: str, *, resolved: bool) -> None:
        """The payer disputes a payment with his bank, or his newest dispute is settled."""
        payment = self.payment(payment_id)
        opened = [entry for entry in payment.disputes if entry["status"] == "UNRESOLVED"]
        if payment.status != "PAID" or (resolved and not opened):
            raise Refusal(409, "NO_SUCH_MOVE")
        self._remember(payment)
        payment.changed_at = self._clock()
        if resolved:
            opened[-1].update(status="RESOLVED", resolvedAt=time(payment.changed_at))
        else:
            entry = {
                "status": "UNRESOLVED",
                "reason": "dispute-open",
                "createdAt": time(payment.changed_at),
            }
            payment.disputes.append(entry)
        kind, trigger = ("Resolved", "RESOLVED") if resolved else ("Created", "CREATED")
        self._tell(payment, f"Transaction.Dispute{kind}", trigger=f"DISPUTE_{trigger}")

    def document(self, payment_id: str, *, stale: bool = False) -> dict[str, Any]:
        """The payment as ``GET /payments/{id}`` answers it; ``stale``: as it did before the last change."""
        payment = self.payment(payment_id)
        if not stale:
            return document(payment)
        if not payment.earlier:
            raise Refusal(404, "PAYMENT_NOT_FOUND")
        return payment.earlier[-1]

    def payment(self, payment_id: str) -> Payment:
        """The payment's last attempt, its account closed when its time is over."""
        payment = self._payments.get(payment_id)
        if payment is None:
            raise Refusal(404, "PAYMENT_NOT_FOUND")
        expires_at = payment.account_expires_at
        if (
            payment.status == "VIRTUAL_ACCOUNT_ISSUED"
            and expires_at is not None
            and self._clock() >= expires_at
        ):
            self._change(payment, "close-account")
        return payment

    def attempt(self, transaction_id: str) -> Payment:
        """The payment whose last attempt has this id."""
        for payment in self._payments.values():
            if payment.transaction_id == transaction_id:
                return payment
        raise Refusal(404, "TransactionNotFound")

    def all(self) -> list[Payment]:
        """Every payment that was begun, in the order in which their ids were first seen."""
        return [self.payment(payment_id) for payment_id in self._payments]

    def pinned(self) -> dict[str, dict[str, Any]]:
        """What was announced, by payment."""
        return dict(self._pinned)

    def identifier(self) -> str:
        """An id as PortOne's look: the time in milliseconds, then 80 random bits."""
        milliseconds = int(self._clock().timestamp() * 1000)
        digits = f"{milliseconds:012x}{self._rng.getrandbits(80):020x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _change(self, payment: Payment, name: str) -> None:
        self._remember(payment)
        payment.by_account = payment.status == "VIRTUAL_ACCOUNT_ISSUED"
        payment.status = MOVES[payment.status, name]
        payment.failure = FAILURES.get(name)
        payment.changed_at = self._clock()
        if name == "issue-account":
            payment.account_expires_at = payment.changed_at + ACCOUNT_LIFE
        if payment.status == "PAID":
            payment.paid_at = payment.changed_at

    def _succeed(
        self,
        payment: Payment,
        entry: dict[str, Any],
        *,
        trigger: str | None = None,
        silent: bool = False,
    ) -> None:
        payment.changed_at = self._clock()
        entry["status"], entry["cancelledAt"] = "SUCCEEDED", time(payment.changed_at)
        payment.status = "CANCELLED" if payment.cancelled == payment.total else "PARTIAL_CANCELLED"
        self._tell(
            payment, TOLD[payment.status], cancellation=entry, trigger=trigger, silent=silent
        )

    def _remember(self, payment: Payment) -> None:
        payment.earlier.append(document(payment))

    def _tell(
        self,
        payment: Payment,
        kind: str,
        *,
        cancellation: dict[str, Any] | None = None,
        trigger: str | None = None,
        silent: bool = False,
    ) -> None:
        if silent:
            return
        data = {
            "paymentId": payment.id,
            "storeId": STORE_ID,
            "transactionId": payment.transaction_id,
        }
        if cancellation is not None:
            data["cancellationId"] = cancellation["id"]
        self.events.append(
            Event(
                type=kind,
                data=data,
                at=self._clock(),
                payment_id=payment.id,
                payment_status=payment.status,
                notice_urls=payment.notice_urls,
                trigger=trigger,
            )
        )
