"""Transitions of payments, and the webhook events that they cause."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.portone.documents import Payment, document, eleventh, time
from sandbox.portone.merchant import CHANNELS, LIVE_CHANNEL_KEY, STORE_ID

CANCELLATIONS_MAX = 50
ACCOUNT_LIFE = timedelta(days=3)

# Target status by action of the payer, the bank or an operator, and present status.
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
EVENT_TYPES = {
    "READY": "Transaction.Ready",
    "PAY_PENDING": "Transaction.PayPending",
    "VIRTUAL_ACCOUNT_ISSUED": "Transaction.VirtualAccountIssued",
    "PAID": "Transaction.Paid",
    "FAILED": "Transaction.Failed",
    "PARTIAL_CANCELLED": "Transaction.PartialCancelled",
    "CANCELLED": "Transaction.Cancelled",
}
# PortOne's reason for a webhook that no request of the shop or the browser caused.
TRIGGERS = {
    "deposit": "VIRTUAL_ACCOUNT_DEPOSIT",
    "approve": "ASYNC_PAY_APPROVED",
    "reject": "ASYNC_PAY_FAILED",
    "pend": "ASYNC_PAY_PENDING",
}
_PAID = ("PAID", "PARTIAL_CANCELLED", "CANCELLED")


class PortoneRefusal(Exception):
    """Error answer of PortOne: an HTTP status and a type."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(status, kind)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Webhook event: its type and data, and the payment's status at that moment."""

    type: str
    data: dict[str, str]
    at: datetime
    payment_id: str
    payment_status: str
    notice_urls: tuple[str, ...] = ()
    trigger: str | None = None


class Payments:
    """All payments of one store by id. `clock` returns aware UTC times, `rng` generates ids.

    Events wait in `events` until they are sent.
    """

    def __init__(self, clock: Callable[[], datetime], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._pinned: dict[str, dict[str, Any]] = {}
        self._payments: dict[str, Payment] = {}
        self.events: list[Event] = []
        self.cancellations_max = CANCELLATIONS_MAX

    def pre_register(self, payment_id: str, amount: int | None, currency: str | None) -> None:
        """Set the amount and currency that the browser may start the payment with. None leaves it
        open.
        """
        payment = self._payments.get(payment_id)
        if payment is not None and payment.status in _PAID:
            raise PortoneRefusal(409, "ALREADY_PAID")
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
        """Open the payment window: start an attempt unless it is paid or differs from the
        pre-registration.
        """
        before = self._payments.get(payment_id)
        if before is not None and before.status not in {"READY", "FAILED"}:
            raise PortoneRefusal(409, "PaymentAlreadyPaid")
        if channel_key not in CHANNELS:
            raise PortoneRefusal(404, "ChannelNotFound")
        pinned = self._pinned.get(payment_id, {})
        if pinned.get("amount") not in (None, amount) or pinned.get("currency") not in (
            None,
            currency,
        ):
            raise PortoneRefusal(409, "AmountNotEqualToPredefined")
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
        self._record_event(payment, "Transaction.Ready")
        return payment

    def move(self, payment_id: str, name: str, *, amount: int | None = None) -> None:
        """Apply one of MOVES; 409 if it is not possible. `amount` replaces the window's amount."""
        payment = self.payment(payment_id)
        if (payment.status, name) not in MOVES:
            raise PortoneRefusal(409, "NO_SUCH_MOVE")
        if payment.channel.manual and name == "pay" and payment.token is None:
            payment.token = self.identifier()
            return
        self._change(payment, name)
        if amount is not None:
            payment.total = amount
        # No webhook reports a closed account.
        if name != "close-account":
            self._record_event(payment, EVENT_TYPES[payment.status], trigger=TRIGGERS.get(name))

    def confirm(self, payment_id: str, *, token: str, **claims: object) -> dict[str, str]:
        """Confirm a payment of a manual channel. `claims` are the shop's expectations; None is no
        claim.
        """
        payment = self.payment(payment_id)
        if payment.status in _PAID:
            raise PortoneRefusal(409, "ALREADY_PAID")
        if payment.token is None or token != payment.token:
            raise PortoneRefusal(400, "INVALID_PAYMENT_TOKEN")
        facts = {
            "txId": payment.transaction_id,
            "currency": payment.currency,
            "totalAmount": payment.total,
            "taxFreeAmount": 0,
            "isTest": payment.channel.type == "TEST",
        }
        if any(claim is not None and facts[name] != claim for name, claim in claims.items()):
            raise PortoneRefusal(409, "INFORMATION_MISMATCH")
        self.move(payment_id, "pay")
        return {"pgTxId": payment.pg_transaction_id, "paidAt": time(self._clock())}

    def close_account(self, payment_id: str) -> None:
        """Close a virtual account that waits for its deposit."""
        if self.payment(payment_id).status != "VIRTUAL_ACCOUNT_ISSUED":
            raise PortoneRefusal(409, "PAYMENT_NOT_WAITING_FOR_DEPOSIT")
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
        without_webhook: bool = False,
    ) -> dict[str, Any]:
        """Cancel `amount`, or the whole rest. `cancellable` is the rest that the caller expects."""
        payment = self.payment(payment_id)
        if payment.status not in _PAID:
            raise PortoneRefusal(409, "PAYMENT_NOT_PAID")
        left = payment.total - payment.cancelled
        if left == 0:
            raise PortoneRefusal(409, "PAYMENT_ALREADY_CANCELLED")
        if cancellable not in (None, left):
            raise PortoneRefusal(409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")
        returned = left if amount is None else amount
        if returned > left:
            raise PortoneRefusal(409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
        if tax_free + (vat or 0) > returned:
            raise PortoneRefusal(409, "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT")
        if tax_free > 0:
            raise PortoneRefusal(409, "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT")
        if len(payment.cancellations) >= self.cancellations_max:
            raise PortoneRefusal(409, "MAX_CANCEL_COUNT_REACHED")
        if payment.by_account and not has_refund_account:
            raise PortoneRefusal(400, "INVALID_REQUEST")
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
            self._record_event(
                payment,
                "Transaction.CancelPending",
                cancellation=entry,
                without_webhook=without_webhook,
            )
        else:
            self._succeed(payment, entry, without_webhook=without_webhook)
        return dict(entry)

    def settle_cancellation(self, payment_id: str, *, succeeds: bool) -> None:
        """Decide on the oldest waiting cancellation as the payment gateway does."""
        payment = self.payment(payment_id)
        waiting = [entry for entry in payment.cancellations if entry["status"] == "REQUESTED"]
        if not waiting:
            raise PortoneRefusal(409, "NO_SUCH_MOVE")
        self._remember(payment)
        if succeeds and waiting[0]["totalAmount"] <= payment.total - payment.cancelled:
            self._succeed(payment, waiting[0], trigger="ASYNC_CANCEL_APPROVED")
        else:
            # PortOne has a trigger for this case, but no type of webhook.
            waiting[0]["status"] = "FAILED"
            payment.changed_at = self._clock()

    def dispute(self, payment_id: str, *, resolved: bool) -> None:
        """Open a dispute of the payer with the bank, or resolve the newest one."""
        payment = self.payment(payment_id)
        opened = [entry for entry in payment.disputes if entry["status"] == "UNRESOLVED"]
        if payment.status != "PAID" or (resolved and not opened):
            raise PortoneRefusal(409, "NO_SUCH_MOVE")
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
        self._record_event(payment, f"Transaction.Dispute{kind}", trigger=f"DISPUTE_{trigger}")

    def document(self, payment_id: str, *, stale: bool = False) -> dict[str, Any]:
        """Return the payment as `GET /payments/{id}` does; or with `stale` its earlier state."""
        payment = self.payment(payment_id)
        if not stale:
            return document(payment)
        if not payment.earlier:
            raise PortoneRefusal(404, "PAYMENT_NOT_FOUND")
        return payment.earlier[-1]

    def payment(self, payment_id: str) -> Payment:
        """Return the payment's last attempt. Its virtual account is closed if it has expired."""
        payment = self._payments.get(payment_id)
        if payment is None:
            raise PortoneRefusal(404, "PAYMENT_NOT_FOUND")
        expires_at = payment.account_expires_at
        if (
            payment.status == "VIRTUAL_ACCOUNT_ISSUED"
            and expires_at is not None
            and self._clock() >= expires_at
        ):
            self._change(payment, "close-account")
        return payment

    def attempt(self, transaction_id: str) -> Payment:
        """Return the payment whose last attempt has this id."""
        for payment in self._payments.values():
            if payment.transaction_id == transaction_id:
                return payment
        raise PortoneRefusal(404, "TransactionNotFound")

    def all(self) -> list[Payment]:
        """Return all started payments in order of the first use of their ids."""
        return [self.payment(payment_id) for payment_id in self._payments]

    def pinned(self) -> dict[str, dict[str, Any]]:
        """Return the pre-registrations by payment."""
        return dict(self._pinned)

    def identifier(self) -> str:
        """Return an id in PortOne's format: the time in milliseconds, then 80 random bits."""
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
        without_webhook: bool = False,
    ) -> None:
        payment.changed_at = self._clock()
        entry["status"], entry["cancelledAt"] = "SUCCEEDED", time(payment.changed_at)
        payment.status = "CANCELLED" if payment.cancelled == payment.total else "PARTIAL_CANCELLED"
        self._record_event(
            payment,
            EVENT_TYPES[payment.status],
            cancellation=entry,
            trigger=trigger,
            without_webhook=without_webhook,
        )

    def _remember(self, payment: Payment) -> None:
        payment.earlier.append(document(payment))

    def _record_event(
        self,
        payment: Payment,
        kind: str,
        *,
        cancellation: dict[str, Any] | None = None,
        trigger: str | None = None,
        without_webhook: bool = False,
    ) -> None:
        if without_webhook:
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
