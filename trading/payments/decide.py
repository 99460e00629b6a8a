"""Decide what a report from PortOne means for a payment: a table from (state, finding) to action.

Checks occur in any order and number: webhooks, the browser and the sweep all cause them, and a slow
answer may arrive after a newer one. A credit is therefore recorded once per payment and a reversal
once per cancellation id; the result does not depend on the order of the reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from trading.payments.model import PAYMENT_TRANSITIONS, PaymentEvent, PaymentStatus
from trading.payments.payment_terms import (
    IDENTITY_MISMATCHES,
    Mismatch,
    PaymentTerms,
    find_mismatches,
)
from trading.payments.portone_payment import Cancellation, PortoneStatus, Report

# How long after its expiry to wait for a payment that PortOne reports as pending. The browser
# chooses how long a virtual account stays open.
PENDING_AT_PORTONE_MAX = timedelta(days=30)


class PaymentFinding(StrEnum):
    """What a check found."""

    ABSENT = "no such payment at PortOne"
    OPENED = "payment window open"
    APPROVAL_PENDING = "approval pending"
    ACCOUNT_ISSUED = "virtual account issued"
    FAILED = "failed"
    PAID = "paid as agreed"
    PARTLY_CANCELLED = "paid, partly cancelled"
    CANCELLED = "paid, fully cancelled"
    MISMATCHED = "paid, but the terms differ"
    CONTRADICTORY = "paid, but the cancellations are inconsistent"
    UNKNOWN = "unknown status"


class PaymentAction(StrEnum):
    """What to do after a check."""

    NOTHING = "nothing"
    WAIT = "wait"
    AWAIT_DEPOSIT = "await the deposit"
    RECORD_FAILURE = "record the failure"
    CREDIT = "credit"
    REVERSE = "reverse"
    REJECT = "reject"
    CLOSE_ACCOUNT = "close the account"
    ALERT = "alert"


_FINDINGS: Mapping[PortoneStatus, PaymentFinding] = {
    PortoneStatus.READY: PaymentFinding.OPENED,
    PortoneStatus.PAY_PENDING: PaymentFinding.APPROVAL_PENDING,
    PortoneStatus.VIRTUAL_ACCOUNT_ISSUED: PaymentFinding.ACCOUNT_ISSUED,
    PortoneStatus.FAILED: PaymentFinding.FAILED,
    PortoneStatus.PAID: PaymentFinding.PAID,
    PortoneStatus.PARTIAL_CANCELLED: PaymentFinding.PARTLY_CANCELLED,
    PortoneStatus.CANCELLED: PaymentFinding.CANCELLED,
    PortoneStatus.UNKNOWN: PaymentFinding.UNKNOWN,
}
_PAID_STATUSES = (PortoneStatus.PAID, PortoneStatus.PARTIAL_CANCELLED, PortoneStatus.CANCELLED)

# For each finding, the action for a payment that is PENDING, EXPIRED, or credited (in any of its
# three states). A MISMATCHED payment needs no action: it waits for an operator, who was alerted.
_TABLE: Mapping[PaymentFinding, tuple[PaymentAction, PaymentAction, PaymentAction]] = {
    PaymentFinding.ABSENT: (PaymentAction.WAIT, PaymentAction.NOTHING, PaymentAction.ALERT),
    PaymentFinding.OPENED: (PaymentAction.WAIT, PaymentAction.NOTHING, PaymentAction.ALERT),
    PaymentFinding.APPROVAL_PENDING: (
        PaymentAction.WAIT,
        PaymentAction.NOTHING,
        PaymentAction.ALERT,
    ),
    PaymentFinding.ACCOUNT_ISSUED: (
        PaymentAction.AWAIT_DEPOSIT,
        PaymentAction.CLOSE_ACCOUNT,
        PaymentAction.ALERT,
    ),
    PaymentFinding.FAILED: (
        PaymentAction.RECORD_FAILURE,
        PaymentAction.RECORD_FAILURE,
        PaymentAction.ALERT,
    ),
    PaymentFinding.PAID: (PaymentAction.CREDIT, PaymentAction.CREDIT, PaymentAction.NOTHING),
    PaymentFinding.PARTLY_CANCELLED: (
        PaymentAction.CREDIT,
        PaymentAction.CREDIT,
        PaymentAction.REVERSE,
    ),
    PaymentFinding.CANCELLED: (PaymentAction.CREDIT, PaymentAction.CREDIT, PaymentAction.REVERSE),
    PaymentFinding.MISMATCHED: (PaymentAction.REJECT, PaymentAction.REJECT, PaymentAction.ALERT),
    PaymentFinding.CONTRADICTORY: (PaymentAction.ALERT, PaymentAction.ALERT, PaymentAction.REVERSE),
    PaymentFinding.UNKNOWN: (PaymentAction.ALERT, PaymentAction.ALERT, PaymentAction.ALERT),
}
_COLUMN = {
    PaymentStatus.PENDING: 0,
    PaymentStatus.EXPIRED: 1,
    PaymentStatus.CREDITED: 2,
    PaymentStatus.PARTIALLY_CANCELLED: 2,
    PaymentStatus.CANCELLED: 2,
}
DECISIONS: Mapping[tuple[PaymentStatus, PaymentFinding], PaymentAction] = {
    **{
        (status, finding): row[column]
        for finding, row in _TABLE.items()
        for status, column in _COLUMN.items()
    },
    **{(PaymentStatus.MISMATCHED, finding): PaymentAction.NOTHING for finding in PaymentFinding},
}
_WAITING_ACTIONS = (PaymentAction.WAIT, PaymentAction.AWAIT_DEPOSIT, PaymentAction.RECORD_FAILURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """State of a payment as far as decisions depend on it.

    ``reversed`` are the amounts given back (won) by cancellation id; ``reported_at`` is the newest
    ``updated_at`` (aware) of the reports applied so far.
    """

    terms: PaymentTerms
    status: PaymentStatus = PaymentStatus.PENDING
    reversed: Mapping[str, int] = field(default_factory=dict)
    reported_at: datetime | None = None

    @property
    def remaining_amount(self) -> int:
        """Part of the amount that has not been given back, in won."""
        return self.terms.amount - sum(self.reversed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write and do in one transaction.

    Credit ``credit`` won, reverse each of ``reversals``, then store ``payment``. ``alert`` asks for
    an operator, whatever the action. ``mismatches`` say why a payment was rejected.
    """

    action: PaymentAction
    finding: PaymentFinding
    payment: PaymentState
    credit: int = 0
    reversals: tuple[Cancellation, ...] = ()
    mismatches: frozenset[Mismatch] = frozenset()
    alert: bool = False


def decide(payment: PaymentState, report: Report | None, *, now: datetime) -> Decision:
    """Decide what follows from a check; ``report`` is None when PortOne has no such payment."""
    finding, differences = classify(payment, report)
    stale = _is_older(report, than=payment.reported_at)
    if stale and report is not None and report.status not in _PAID_STATUSES:
        # A newer report was applied while this one was in flight; this one would only seem to
        # contradict it.
        return Decision(action=PaymentAction.NOTHING, finding=finding, payment=payment)
    if report is not None and report.updated_at is not None and not stale:
        payment = replace(payment, reported_at=report.updated_at)
    action = DECISIONS[payment.status, finding]
    if (
        payment.status is PaymentStatus.PENDING
        and action in _WAITING_ACTIONS
        and now >= wait_until(payment.terms, report)
    ):
        payment = _after(payment, PaymentEvent.EXPIRE)
        action = DECISIONS[payment.status, finding]
    decision = Decision(
        action=action,
        finding=finding,
        payment=payment,
        mismatches=differences,
        alert=action in (PaymentAction.ALERT, PaymentAction.REJECT)
        or (report is not None and report.is_disputed),
    )
    match action:
        case PaymentAction.REJECT:
            return replace(decision, payment=_after(payment, PaymentEvent.REJECT))
        case PaymentAction.CREDIT if report is not None:
            credited = replace(
                decision, payment=_after(payment, PaymentEvent.CREDIT), credit=payment.terms.amount
            )
            return _with_reversals(credited, report)
        case PaymentAction.REVERSE if report is not None:
            return _with_reversals(decision, report)
    return decision


def classify(
    payment: PaymentState, report: Report | None
) -> tuple[PaymentFinding, frozenset[Mismatch]]:
    """Return what a report says, and in which terms it differs if it reports money.

    The channel was checked when the money was credited. A channel that was renamed since must not
    keep a chargeback from being recorded.
    """
    if report is None:
        return PaymentFinding.ABSENT, frozenset()
    if report.status not in _PAID_STATUSES:
        return _FINDINGS[report.status], frozenset()
    differences = find_mismatches(payment.terms, report)
    if payment.status.is_credited:
        differences &= IDENTITY_MISMATCHES
    if differences:
        return PaymentFinding.MISMATCHED, differences
    return (
        PaymentFinding.CONTRADICTORY if _is_contradictory(report) else _FINDINGS[report.status]
    ), frozenset()


def wait_until(terms: PaymentTerms, report: Report | None) -> datetime:
    """Return when to stop waiting for money.

    That is the expiry, or later while PortOne reports the payment as pending.
    """
    latest = terms.expires_at + PENDING_AT_PORTONE_MAX
    match report:
        case Report(status=PortoneStatus.PAY_PENDING):
            return latest
        case Report(status=PortoneStatus.VIRTUAL_ACCOUNT_ISSUED, virtual_account=account) if (
            account
        ):
            return min(max(terms.expires_at, account.expires_at or terms.expires_at), latest)
    return terms.expires_at


def _is_older(report: Report | None, *, than: datetime | None) -> bool:
    return (
        report is not None
        and report.updated_at is not None
        and than is not None
        and report.updated_at < than
    )


def _is_contradictory(report: Report) -> bool:
    """Return True if status, cancelled sum and list of cancellations disagree.

    Crediting the full amount could then credit money that was already returned to the payer.
    """
    returned = sum(cancellation.amount for cancellation in report.succeeded_cancellations)
    if returned == 0:
        status = PortoneStatus.PAID
    else:
        status = (
            PortoneStatus.CANCELLED if returned == report.total else PortoneStatus.PARTIAL_CANCELLED
        )
    return report.cancelled != returned or report.status is not status


def apply_cancellations(
    payment: PaymentState, cancellations: Iterable[Cancellation]
) -> tuple[PaymentState, tuple[Cancellation, ...], bool]:
    """Apply cancellations to a credited payment.

    Return the payment afterwards, the cancellations to record, and whether any exceeds the
    remaining amount. Cancellations recorded before are skipped; one that is too large is not
    recorded at all.
    """
    reversals, exceeds_remaining = [], False
    for cancellation in cancellations:
        if cancellation.id in payment.reversed:
            continue
        if cancellation.amount > payment.remaining_amount:
            exceeds_remaining = True
            continue
        reversals.append(cancellation)
        event = (
            PaymentEvent.CANCEL
            if cancellation.amount == payment.remaining_amount
            else PaymentEvent.CANCEL_IN_PART
        )
        payment = replace(
            _after(payment, event),
            reversed={**payment.reversed, cancellation.id: cancellation.amount},
        )
    return payment, tuple(reversals), exceeds_remaining


def _with_reversals(decision: Decision, report: Report) -> Decision:
    """Add a reversal for every new cancellation that the remaining amount covers."""
    payment, reversals, exceeds_remaining = apply_cancellations(
        decision.payment, report.succeeded_cancellations
    )
    alert = decision.alert or decision.finding is PaymentFinding.CONTRADICTORY or exceeds_remaining
    return replace(decision, payment=payment, reversals=reversals, alert=alert)


def _after(payment: PaymentState, event: PaymentEvent) -> PaymentState:
    return replace(payment, status=PAYMENT_TRANSITIONS.after(payment.status, event))
