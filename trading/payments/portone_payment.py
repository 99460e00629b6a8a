"""Typed records of what PortOne (REST V2) reports about a payment: the members that we use.

PortOne may add to its answers, so reading never fails: an unknown status becomes UNKNOWN, a missing
or mistyped member becomes None, and a cancellation without an id or an amount is left out. Whether
the rest suffices to credit money is decided in ``decide``.
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
    """A payment's status at PortOne."""

    READY = "READY"
    PAY_PENDING = "PAY_PENDING"
    VIRTUAL_ACCOUNT_ISSUED = "VIRTUAL_ACCOUNT_ISSUED"
    PAID = "PAID"
    FAILED = "FAILED"
    PARTIAL_CANCELLED = "PARTIAL_CANCELLED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


class CancellationStatus(StrEnum):
    """A cancellation's status at PortOne.

    REQUESTED waits for the payment gateway; only SUCCEEDED has moved money.
    """

    SUCCEEDED = "SUCCEEDED"
    REQUESTED = "REQUESTED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


_Status = TypeVar("_Status", PortoneStatus, CancellationStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Money given back to the payer, in won; ``trigger`` (an open enum) names who caused it."""

    id: str
    status: CancellationStatus
    amount: int
    reason: str | None = None
    trigger: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualAccount:
    """A bank account issued for one payment, to which the payer transfers the money."""

    bank: str | None
    number: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """PortOne's report on a payment.

    Amounts are whole won, times aware UTC; None stands for a missing or unusable member.
    ``amount.paid`` is left out on purpose: PortOne sends it for failed payments, too.
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
    method: str | None = None
    virtual_account: VirtualAccount | None = None
    failure: str | None = None
    receipt_url: str | None = None
    is_disputed: bool = False

    @property
    def succeeded_cancellations(self) -> tuple[Cancellation, ...]:
        """The cancellations that moved money, each id once."""
        by_id = {
            c.id: c
            for c in reversed(self.cancellations)
            if c.status is CancellationStatus.SUCCEEDED
        }
        return tuple(reversed(by_id.values()))


def read_report(payment: Mapping[str, object]) -> Report:
    """Return the report in a payment's JSON object. Never raises."""
    amount, channel = _object(payment.get("amount")), _object(payment.get("channel"))
    status = _status(PortoneStatus, payment.get("status"))
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
        method=_identifier(_object(payment.get("method")).get("type")),
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
    """Return the cancellation in a JSON value; None without an id or an amount above zero."""
    document = _object(value)
    identifier, amount = _identifier(document.get("id")), _won(document.get("totalAmount"))
    if identifier is None or not amount:
        return None
    return Cancellation(
        id=identifier,
        status=_status(CancellationStatus, document.get("status")),
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


def _status(statuses: type[_Status], value: object) -> _Status:
    return next((status for status in statuses if status == value), statuses.UNKNOWN)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _won(value: object) -> int | None:
    # isinstance() accepts true as an int, and 10000.0 is not a whole number of won.
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
