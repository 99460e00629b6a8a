"""A payment as PortOne stores it and as its API returns it.

Written from PortOne's documents alone and sharing no code with the product's client, so that
neither confirms a mistake of the other. Absent members are omitted, never null, and times have nine
fractional digits or none, as in PortOne's answers.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.portone.merchant import MERCHANT_ID, STORE_ID, PortoneChannel

_CARD = {
    "issuer": "SHINHAN_CARD",
    "publisher": "SHINHAN_CARD",
    "brand": "LOCAL",
    "type": "CREDIT",
    "ownerType": "PERSONAL",
    "bin": "123456",
    "name": "신한카드",
    "number": "123456******7890",
}


@dataclass(slots=True, kw_only=True)
class Payment:
    """The last attempt at a payment. Amounts are in the currency's minor unit, times are aware.

    `earlier` holds the documents before the last change.
    """

    id: str
    transaction_id: str
    total: int
    currency: str
    order_name: str
    channel: PortoneChannel
    slow_cancellations: bool
    requested_at: datetime
    custom_data: str | None = None
    notice_urls: tuple[str, ...] = ()
    status: str = "READY"
    changed_at: datetime | None = None
    paid_at: datetime | None = None
    failure: tuple[str, str] | None = None
    token: str | None = None
    account_expires_at: datetime | None = None
    by_account: bool = False
    cancellations: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cancelled(self) -> int:
        """Total of all cancellations."""
        return sum(
            entry["totalAmount"] for entry in self.cancellations if entry["status"] == "SUCCEEDED"
        )

    @property
    def pg_transaction_id(self) -> str:
        """The payment gateway's id of the attempt."""
        return f"pgtx-{self.transaction_id}"


def document(payment: Payment) -> dict[str, Any]:
    """Return the JSON object of `GET /payments/{id}`, without the webhook log."""
    changed_at = payment.changed_at or payment.requested_at
    members: dict[str, Any] = {
        "status": payment.status,
        "id": payment.id,
        "transactionId": payment.transaction_id,
        "merchantId": MERCHANT_ID,
        "storeId": STORE_ID,
        "version": "V2",
        "requestedAt": time(payment.requested_at, fraction=True),
        "updatedAt": time(changed_at, fraction=True),
        "statusChangedAt": time(changed_at),
        "orderName": payment.order_name,
        "amount": _amount(payment),
        "currency": payment.currency,
        "customer": {"id": "payer"},
        "origin": {"platformType": "PC", "ipAddress": "127.0.0.1"},
        "channel": payment.channel.document(),
    }
    if payment.custom_data is not None:
        members["customData"] = payment.custom_data
    if payment.status not in {"READY", "FAILED"}:
        members["method"] = _method(payment)
        members["pgTxId"] = payment.pg_transaction_id
    if payment.paid_at:
        members["paidAt"] = time(payment.paid_at)
        members["receiptUrl"] = f"http://127.0.0.1/receipt/{payment.pg_transaction_id}"
    if payment.status == "PAID":
        members["disputes"] = [dict(entry) for entry in payment.disputes]
    if payment.cancellations:
        members["cancellations"] = [dict(entry) for entry in payment.cancellations]
    if payment.status in {"PARTIAL_CANCELLED", "CANCELLED"}:
        members["cancelledAt"] = time(changed_at)
    if payment.status == "FAILED" and payment.failure is not None:
        code, message = payment.failure
        members["failedAt"] = time(changed_at)
        members["failure"] = {"reason": f"[{code}] {message}", "pgCode": code, "pgMessage": message}
    return members


def eleventh(amount: int) -> int:
    """Return the value-added tax included in an amount, rounded to the nearest unit."""
    return (2 * amount + 11) // 22


def time(at: datetime, *, fraction: bool = False) -> str:
    """Format an instant in UTC as PortOne does."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z" if fraction else "%Y-%m-%dT%H:%M:%SZ")


def _amount(payment: Payment) -> dict[str, int]:
    vat = eleventh(payment.total)
    return {
        "total": payment.total,
        "taxFree": 0,
        "vat": vat,
        "supply": payment.total - vat,
        "discount": 0,
        "paid": payment.total,  # Also for a failed payment, so clients must not rely on it.
        "cancelled": payment.cancelled,
        "cancelledTaxFree": 0,
    }


def _method(payment: Payment) -> dict[str, Any]:
    if payment.account_expires_at is None:
        installment = {"month": 0, "isInterestFree": False}
        return {
            "type": "PaymentMethodCard",
            "card": _CARD,
            "approvalNumber": "00000000",
            "installment": installment,
        }
    return {
        "type": "PaymentMethodVirtualAccount",
        "bank": "KOOKMIN",
        "accountNumber": "X0000000000001",
        "accountType": "NORMAL",
        "remitteeName": "StocKing",
        "expiredAt": time(payment.account_expires_at),
    }
