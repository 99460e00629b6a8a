"""What a look at PortOne means for a payment of ours: one table from (our state, what was found) to an action.

Looks come in any order and any number: webhooks, the browser's word and the sweep all cause one, and a slow answer may arrive after
a newer one. So a credit is booked once for a payment and a reversal once for a cancellation's id, whoever finds them; in whatever
order the looks are taken in, the same is booked in the end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from trading.payments.checks import OF_ANOTHER_PAYMENT, Mismatch, PaymentTerms, mismatches
from trading.payments.model import PAYMENT_TRANSITIONS, PaymentEvent, PaymentStatus
from trading.payments.portone_payment import Cancellation, PortoneStatus, Report

# How long after its expiry a payment is still waited for that PortOne has under way. The browser chooses how long an account is open.
UNDER_WAY_MAX = timedelta(days=30)


class Finding(StrEnum):
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


class Action(StrEnum):
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


_FINDINGS: Mapping[PortoneStatus, Finding] = {
    PortoneStatus.READY: Finding.OPENED,
    PortoneStatus.PAY_PENDING: Finding.APPROVAL_PENDING,
    PortoneStatus.VIRTUAL_ACCOUNT_ISSUED: Finding.ACCOUNT_ISSUED,
    PortoneStatus.FAILED: Finding.FAILED,
    PortoneStatus.PAID: Finding.PAID,
    PortoneStatus.PARTIAL_CANCELLED: Finding.PARTLY_CANCELLED,
    PortoneStatus.CANCELLED: Finding.CANCELLED,
    PortoneStatus.UNKNOWN: Finding.UNKNOWN,
}
_PAID = (PortoneStatus.PAID, PortoneStatus.PARTIAL_CANCELLED, PortoneStatus.CANCELLED)

# By what was found, the action for a payment that is PENDING, EXPIRED, or credited (in any of its three states). For one that is
# MISMATCHED there is none: it waits for a person, who was told.
_TABLE: Mapping[Finding, tuple[Action, Action, Action]] = {
    Finding.ABSENT: (Action.WAIT, Action.NOTHING, Action.ALERT),
    Finding.OPENED: (Action.WAIT, Action.NOTHING, Action.ALERT),
    Finding.APPROVAL_PENDING: (Action.WAIT, Action.NOTHING, Action.ALERT),
    Finding.ACCOUNT_ISSUED: (Action.AWAIT_DEPOSIT, Action.CLOSE_ACCOUNT, Action.ALERT),
    Finding.FAILED: (Action.RECORD_FAILURE, Action.RECORD_FAILURE, Action.ALERT),
    Finding.PAID: (Action.CREDIT, Action.CREDIT, Action.NOTHING),
    Finding.PARTLY_CANCELLED: (Action.CREDIT, Action.CREDIT, Action.REVERSE),
    Finding.CANCELLED: (Action.CREDIT, Action.CREDIT, Action.REVERSE),
    Finding.MISMATCHED: (Action.REJECT, Action.REJECT, Action.ALERT),
    Finding.CONTRADICTORY: (Action.ALERT, Action.ALERT, Action.REVERSE),
    Finding.UNKNOWN: (Action.ALERT, Action.ALERT, Action.ALERT),
}
_COLUMN = {
    PaymentStatus.PENDING: 0,
    PaymentStatus.EXPIRED: 1,
    PaymentStatus.CREDITED: 2,
    PaymentStatus.PARTIALLY_CANCELLED: 2,
    PaymentStatus.CANCELLED: 2,
}
DECISIONS: Mapping[tuple[PaymentStatus, Finding], Action] = {
    **{
        (status, finding): row[column]
        for finding, row in _TABLE.items()
        for status, column in _COLUMN.items()
    },
    **{(PaymentStatus.MISMATCHED, finding): Action.NOTHING for finding in Finding},
}
_WAITING = (Action.WAIT, Action.AWAIT_DEPOSIT, Action.RECORD_FAILURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as we know it: ``reversed`` is what was given back (won) by the cancellation's id, ``reported_at`` the newest
    ``updated_at`` (aware) among the reports that were taken in."""

    terms: PaymentTerms
    status: PaymentStatus = PaymentStatus.PENDING
    reversed: Mapping[str, int] = field(default_factory=dict)
    reported_at: datetime | None = None

    @property
    def left(self) -> int:
        """What of the amount was not given back (won)."""
        return self.terms.amount - sum(self.reversed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write and do, in one transaction: ``credit`` won in, each of ``reversals`` out, then ``payment`` as it is now.

    An ``alert`` is for a person, whatever the action. ``mismatches`` say why a payment was rejected.
    """

    action: Action
    finding: Finding
    payment: Payment
    credit: int = 0
    reversals: tuple[Cancellation, ...] = ()
    mismatches: frozenset[Mismatch] = frozenset()
    alert: bool = False


def decide(payment: Payment, report: Report | None, *, now: datetime) -> Decision:
    """What follows from a look; ``report`` is None when PortOne answered that it knows no such payment."""
    finding, differences = found(payment, report)
    stale = _is_older(report, than=payment.reported_at)
    if stale and report is not None and report.status not in _PAID:
        # A newer report was taken in while this one was under way; it would only seem to contradict it.
        return Decision(action=Action.NOTHING, finding=finding, payment=payment)
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
        alert=action in (Action.ALERT, Action.REJECT)
        or (report is not None and report.is_disputed),
    )
    match action:
        case Action.REJECT:
            return replace(decision, payment=_after(payment, PaymentEvent.REJECT))
        case Action.CREDIT if report is not None:
            credited = replace(
                decision, payment=_after(payment, PaymentEvent.CREDIT), credit=payment.terms.amount
            )
            return _with_reversals(credited, report)
        case Action.REVERSE if report is not None:
            return _with_reversals(decision, report)
    return decision


def found(payment: Payment, report: Report | None) -> tuple[Finding, frozenset[Mismatch]]:
    """What a report says, and for one of money in what it differs from the terms.

    The channel was judged when the money was credited. It must not keep a chargeback from being booked because it was renamed since.
    """
    if report is None:
        return Finding.ABSENT, frozenset()
    if report.status not in _PAID:
        return _FINDINGS[report.status], frozenset()
    differences = mismatches(payment.terms, report)
    if payment.status.is_credited:
        differences &= OF_ANOTHER_PAYMENT
    if differences:
        return Finding.MISMATCHED, differences
    return (
        Finding.CONTRADICTORY if _contradicts_itself(report) else _FINDINGS[report.status]
    ), frozenset()


def wait_until(terms: PaymentTerms, report: Report | None) -> datetime:
    """Until when money is waited for: past the expiry while PortOne has something under way, but not for ever."""
    latest = terms.expires_at + UNDER_WAY_MAX
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


def reverse(
    payment: Payment, cancellations: Iterable[Cancellation]
) -> tuple[Payment, tuple[Cancellation, ...], bool]:
    """A credited payment after these cancellations, those among them that are to be booked, and whether any is of more than is left.

    One that was booked before is passed over, and one that is too large not booked at all.
    """
    reversals, too_much = [], False
    for cancellation in cancellations:
        if cancellation.id in payment.reversed:
            continue
        if cancellation.amount > payment.left:
            too_much = True
            continue
        reversals.append(cancellation)
        event = (
            PaymentEvent.CANCEL
            if cancellation.amount == payment.left
            else PaymentEvent.CANCEL_IN_PART
        )
        payment = replace(
            _after(payment, event),
            reversed={**payment.reversed, cancellation.id: cancellation.amount},
        )
    return payment, tuple(reversals), too_much


def _with_reversals(decision: Decision, report: Report) -> Decision:
    """The decision with every cancellation reversed that was not before, as far as something is left to give back."""
    payment, reversals, too_much = reverse(decision.payment, report.succeeded_cancellations)
    alert = decision.alert or decision.finding is Finding.CONTRADICTORY or too_much
    return replace(decision, payment=payment, reversals=reversals, alert=alert)


def _after(payment: Payment, event: PaymentEvent) -> Payment:
    return replace(payment, status=PAYMENT_TRANSITIONS.after(payment.status, event))
