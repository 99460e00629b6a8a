"""What PortOne says of a payment (REST V2), as typed records: the part of it that decides something or is shown.

PortOne promises that its answers may grow, so reading never fails: an unknown status is UNKNOWN, what is absent or of another type
is None, and a cancellation without an id or an amount is left out. Whether the rest is enough to book money, verification says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

KRW = "KRW"
VERSION = "V2"
LIVE = "LIVE"
AMOUNT_MAX = 2**63 - 1
IDENTIFIER_LENGTH_MAX = 255
TEXT_LENGTH_MAX = 500


class PortoneStatus(StrEnum):
    """A payment's status in PortOne's words."""

    READY = "READY"
    PAY_PENDING = "PAY_PENDING"
    VIRTUAL_ACCOUNT_ISSUED = "VIRTUAL_ACCOUNT_ISSUED"
    PAID = "PAID"
    FAILED = "FAILED"
    PARTIAL_CANCELLED = "PARTIAL_CANCELLED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


class CancellationStatus(StrEnum):
    """A cancellation's status in PortOne's words: REQUESTED waits for the payment gateway, SUCCEEDED alone has moved money."""

    SUCCEEDED = "SUCCEEDED"
    REQUESTED = "REQUESTED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


_Words = TypeVar("_Words", PortoneStatus, CancellationStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Money on its way back to the payer, ``amount`` won, by us or by others: ``trigger`` says whose doing it was, an open enum."""

    id: str
    status: CancellationStatus
    amount: int
    reason: str | None = None
    trigger: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccount:
    """A bank account made for one payment: nothing is paid until the payer has sent the money there."""

    bank: str | None
    number: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One look at a payment. Amounts are whole won, times aware UTC; None is what PortOne did not say, or not in a readable way.

    ``amount.paid`` is left out on purpose: PortOne gives it for payments that failed, too.
    """

    status: PortoneStatus
    payment_id: str | None = None
    store_id: str | None = None
    version: str | None = None
    transaction_id: str | None = None
    currency: str | None = None
    total: int | None = None
    tax_free: int | None = None
    cancelled: int | None = None
    channel_type: str | None = None
    channel_key: str | None = None
    updated_at: datetime | None = None
    paid_at: datetime | None = None
    cancellations: tuple[Cancellation, ...] = ()
    virtual_account: VirtualAccount | None = None
    failure: str | None = None
    receipt_url: str | None = None
    is_disputed: bool = False

    @property
    def succeeded_cancellations(self) -> tuple[Cancellation, ...]:
        """Those that moved money, each id once."""
        by_id = {
            c.id: c
            for c in reversed(self.cancellations)
            if c.status is CancellationStatus.SUCCEEDED
        }
        return tuple(reversed(by_id.values()))


def read_report(payment: Mapping[str, object]) -> Report:
    """The report in the JSON object of a payment. Never fails."""
    amount, channel = _object(payment.get("amount")), _object(payment.get("channel"))
    status = _member(PortoneStatus, payment.get("status"))
    return Report(
        status=status,
        payment_id=_identifier(payment.get("id")),
        store_id=_identifier(payment.get("storeId")),
        version=_identifier(payment.get("version")),
        transaction_id=_identifier(payment.get("transactionId")),
        currency=_identifier(payment.get("currency")),
        total=_won(amount.get("total")),
        tax_free=_won(amount.get("taxFree")),
        cancelled=_won(amount.get("cancelled")),
        channel_type=_identifier(channel.get("type")),
        channel_key=_identifier(channel.get("key")),
        updated_at=_instant(payment.get("updatedAt")),
        paid_at=_instant(payment.get("paidAt")),
        cancellations=tuple(
            filter(None, map(read_cancellation, _list(payment.get("cancellations"))))
        ),
        virtual_account=_virtual_account(_object(payment.get("method")))
        if status is PortoneStatus.VIRTUAL_ACCOUNT_ISSUED
        else None,
        failure=_text(_object(payment.get("failure")).get("reason")),
        receipt_url=_web_address(payment.get("receiptUrl")),
        is_disputed=any(
            _object(dispute).get("status") != "RESOLVED"
            for dispute in _list(payment.get("disputes"))
        ),
    )


def read_cancellation(value: object) -> Cancellation | None:
    """The cancellation in a JSON value; None where it has no id or no amount above zero, for it can't be booked then."""
    document = _object(value)
    identifier, amount = _identifier(document.get("id")), _won(document.get("totalAmount"))
    if identifier is None or not amount:
        return None
    return Cancellation(
        id=identifier,
        status=_member(CancellationStatus, document.get("status")),
        amount=amount,
        reason=_text(document.get("reason")),
        trigger=_identifier(document.get("trigger")),
    )


def _virtual_account(method: Mapping[str, object]) -> VirtualAccount:
    return VirtualAccount(
        bank=_identifier(method.get("bank")),
        number=_identifier(method.get("accountNumber")),
        expires_at=_instant(method.get("expiredAt")),
    )


def _member(words: type[_Words], value: object) -> _Words:
    return next((word for word in words if word == value), words.UNKNOWN)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _won(value: object) -> int | None:
    # JSON's true is an int to isinstance, and 10000.0 is no whole number that somebody meant.
    return value if type(value) is int and 0 <= value <= AMOUNT_MAX else None


def _identifier(value: object) -> str | None:
    if (
        isinstance(value, str)
        and 0 < len(value) <= IDENTIFIER_LENGTH_MAX
        and value.isascii()
        and value.isprintable()
    ):
        return value
    return None


def _web_address(value: object) -> str | None:
    address = _identifier(value)
    return address if address and address.startswith(("https://", "http://")) else None


def _text(value: object) -> str | None:
    return value[:TEXT_LENGTH_MAX] if isinstance(value, str) and value else None


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return None if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
