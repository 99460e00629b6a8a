"""What a look at PortOne means for a payment of ours: one table from (our state, what was found) to an action.

Looks come in any order and any number: webhooks, the browser's word and the sweep all cause one, and a slow answer may arrive after
a newer one. So a credit is booked once for a payment and a reversal once for a cancellation's id, whoever finds them; in whatever
order the looks are taken in, the same is booked in the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from trading.payments.checks import IDENTITY_MISMATCHES, Mismatch, PaymentTerms, find_mismatches
from trading.payments.model import PAYMENT_TRANSITIONS, PaymentEvent, PaymentStatus
from trading.payments.portone_payment import Cancellation, PortoneStatus, Report

# How long after its expiry a payment is still waited for that PortOne has under way. The browser chooses how long an account is open.
PENDING_AT_PORTONE_MAX = timedelta(days=30)


class PaymentFinding(StrEnum):
    """What a look found."""

    ABSENT = "PortOne knows no such payment"
    OPENED = "the window is open"
    APPROVAL_PENDING = "the approval is pending"
    ACCOUNT_ISSUED = "an account waits for the money"
    FAILED = "it failed"
    PAID = "paid as agreed"
    PARTLY_CANCELLED = "paid, and partly given back"
    CANCELLED = "paid, and all given back"
    MISMATCHED = "paid, but not what was agreed"
    CONTRADICTORY = "paid, but its cancellations do not add up"
    UNKNOWN = "a status that we do not know"


class PaymentAction(StrEnum):
    """What is to be done."""

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
_PAID = (PortoneStatus.PAID, PortoneStatus.PARTIAL_CANCELLED, PortoneStatus.CANCELLED)

# By what was found, the action for a payment that is PENDING, EXPIRED, or credited (in any of its three states). For one that is
# MISMATCHED there is none: it waits for a person, who was told.
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
_WAITING = (PaymentAction.WAIT, PaymentAction.AWAIT_DEPOSIT, PaymentAction.RECORD_FAILURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """A payment as we know it: ``reversed`` is what was given back (won) by the cancellation's id, ``reported_at`` the newest
    ``updated_at`` (aware) among the reports that were taken in."""

    terms: PaymentTerms
    status: PaymentStatus = PaymentStatus.PENDING
    reversed: Mapping[str, int] = field(default_factory=dict)
    reported_at: datetime | None = None

    @property
    def remaining_amount(self) -> int:
        """What of the amount was not given back (won)."""
        return self.terms.amount - sum(self.reversed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write and do, in one transaction: ``credit`` won in, each of ``reversals`` out, then ``payment`` as it is now.

    An ``alert`` is for a person, whatever the action. ``mismatches`` say why a payment was rejected.
    """

    action: PaymentAction
    finding: PaymentFinding
    payment: PaymentState
    credit: int = 0
    reversals: tuple[Cancellation, ...] = ()
    mismatches: frozenset[Mismatch] = frozenset()
    alert: bool = False


def decide(payment: PaymentState, report: Report | None, *, now: datetime) -> Decision:
    """What follows from a look; ``report`` is None when PortOne answered that it knows no such payment."""
    finding, differences = classify(payment, report)
    stale = _is_older(report, than=payment.reported_at)
    if stale and report is not None and report.status not in _PAID:
        # A newer report was taken in while this one was under way; it would only seem to contradict it.
        return Decision(action=PaymentAction.NOTHING, finding=finding, payment=payment)
    if report is not None and report.updated_at is not None and not stale:
        payment = replace(payment, reported_at=report.updated_at)
    action = DECISIONS[payment.status, finding]
    if (
        payment.status is PaymentStatus.PENDING
        and action in _WAITING
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
    """What a report says, and for one of money in what it differs from the terms.

    The channel was judged when the money was credited. It must not keep a chargeback from being booked because it was renamed since.
    """
    if report is None:
        return PaymentFinding.ABSENT, frozenset()
    if report.status not in _PAID:
        return _FINDINGS[report.status], frozenset()
    differences = find_mismatches(payment.terms, report)
    if payment.status.is_credited:
        differences &= IDENTITY_MISMATCHES
    if differences:
        return PaymentFinding.MISMATCHED, differences
    return (
        PaymentFinding.CONTRADICTORY if _contradicts_itself(report) else _FINDINGS[report.status]
    ), frozenset()


def wait_until(terms: PaymentTerms, report: Report | None) -> datetime:
    """Until when money is waited for: past the expiry while PortOne has something under way, but not for ever."""
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


def _contradicts_itself(report: Report) -> bool:
    """Whether the status, the sum and the list of the cancellations disagree. Crediting the whole would give away what was given back."""
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
    """A credited payment after these cancellations, those among them that are to be booked, and whether any is of more than is left.

    One that was booked before is passed over, and one that is too large not booked at all.
    """
    reversals, too_much = [], False
    for cancellation in cancellations:
        if cancellation.id in payment.reversed:
            continue
        if cancellation.amount > payment.remaining_amount:
            too_much = True
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
    return payment, tuple(reversals), too_much


def _with_reversals(decision: Decision, report: Report) -> Decision:
    """The decision with every cancellation reversed that was not before, as far as something is left to give back."""
    payment, reversals, too_much = apply_cancellations(
        decision.payment, report.succeeded_cancellations
    )
    alert = decision.alert or decision.finding is PaymentFinding.CONTRADICTORY or too_much
    return replace(decision, payment=payment, reversals=reversals, alert=alert)


def _after(payment: PaymentState, event: PaymentEvent) -> PaymentState:
    return replace(payment, status=PAYMENT_TRANSITIONS.after(payment.status, event))
