"""`flask payments`: alerts, payment details, and decisions that need an operator."""

from functools import partial
from uuid import UUID

import click

from trading.exchange.time import kst_text
from trading.operations.admin_action_model import DONE, UNCHANGED, ActionKind, Outcome
from trading.operations.admin_actions import insert_outcome
from trading.payments.alerts import resolve_alerts
from trading.payments.check_payment import check_payment
from trading.payments.model import is_payment_id
from trading.payments.queries import (
    PaymentAlertRecord,
    count_open_alerts,
    list_alerts,
    list_open_alerts,
    payment_by_id,
    refund_by_id,
)
from trading.payments.records import PaymentRecord
from trading.payments.refunds import abandon_refund
from trading.unit_of_work import UnitOfWork
from webapp.context import get_core
from webapp.http.admin_log import commanded, record_intent, record_outcome, run_commanded

ALERTS_SHOWN = 100
NOTE_LENGTH_MAX = 500
_NO_ANSWER = "no-answer"


class PaymentIdParam(click.ParamType[UUID]):
    """A payment id as shown in PortOne's console."""

    name = "payment id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return UUID(hex=value if is_payment_id(value) else "")
        except ValueError:
            self.fail("a payment's id is 32 lower-case hexadecimal digits.", param, ctx)


PAYMENT_ID = PaymentIdParam()


@click.group()
def payments() -> None:
    """Inspect and resolve PortOne payments."""


@payments.command("alerts")
def payments_alerts() -> None:
    """Show open alerts, oldest first."""
    core = get_core()
    for alert in core.read(list_open_alerts, limit=ALERTS_SHOWN):
        click.echo(_line(alert))
    click.echo(f"{core.read(count_open_alerts)} open alerts.")


@payments.command("show")
@click.argument("payment_id", type=PAYMENT_ID)
def payments_show(payment_id: UUID) -> None:
    """Show a payment with its cancellations, refunds and alerts."""
    core = get_core()
    _show(_require(core.read(payment_by_id, payment_id)))
    for alert in core.read(list_alerts, payment_id):
        click.echo(_line(alert))


@payments.command("check")
@click.argument("payment_id", type=PAYMENT_ID)
def payments_check(payment_id: UUID) -> None:
    """Query PortOne for a payment now, apply the result and show it."""
    core = get_core()
    _require(core.read(payment_by_id, payment_id))
    action = commanded(ActionKind.CHECK_PAYMENT)
    record_intent(action, target=payment_id.hex)
    result = check_payment(core, core.portone, payment_id)
    record_outcome(action, _NO_ANSWER if result.status is None else DONE, status=result.status)
    if result.status is None:
        raise click.ClickException(
            "PortOne gave no usable answer; the log says why. The payment will be "
            "checked again automatically."
        )
    _show(_require(core.read(payment_by_id, payment_id)))


@payments.command("resolve")
@click.argument("payment_id", type=PAYMENT_ID)
@click.option("--note", required=True, help="What was found and done, for later readers.")
def payments_resolve(payment_id: UUID, note: str) -> None:
    """Mark the open alerts of a payment as resolved."""
    text = _note(note)
    resolved = run_commanded(
        ActionKind.RESOLVE_ALERTS,
        partial(resolve_alerts, payment_id=payment_id, note=text),
        outcome_of=lambda count: Outcome(
            DONE if count else UNCHANGED, target=payment_id.hex, details={"alerts": count}
        ),
        note=text,
    )
    if not resolved:
        raise click.ClickException("This payment has no open alert.")
    click.echo(f"{resolved} resolved.")


@payments.command("give-up")
@click.argument("refund_id", type=click.UUID)
@click.option("--note", required=True, help="Why the refund is abandoned.")
def payments_give_up(refund_id: UUID, note: str) -> None:
    """Fail a stuck refund and release its reserved cash. PortOne is queried once more first."""
    core = get_core()
    text = _note(note)
    refund = core.read(refund_by_id, refund_id)
    if refund is None:
        raise click.ClickException("There is no such refund.")
    payment_id = UUID(hex=refund.payment_id)
    action = commanded(ActionKind.ABANDON_REFUND)
    record_intent(action, target=str(refund_id), payment_id=refund.payment_id, note=text)
    result = check_payment(core, core.portone, payment_id)
    if result.status is None:
        record_outcome(action, _NO_ANSWER)
        raise click.ClickException(
            "PortOne gave no usable answer, so it is unknown whether the money was "
            "returned. Try again."
        )

    def abandon(uow: UnitOfWork) -> bool:
        abandoned = abandon_refund(uow, refund_id)
        resolve_alerts(uow, payment_id, note=text)
        insert_outcome(uow, action, DONE if abandoned else UNCHANGED)
        return abandoned

    if not core.run(abandon):
        raise click.ClickException("The refund has already ended; see 'flask payments show'.")
    click.echo("The refund is abandoned; its reserved cash is released.")


def _require(payment: PaymentRecord | None) -> PaymentRecord:
    if payment is None:
        raise click.ClickException("There is no such payment.")
    return payment


def _note(note: str) -> str:
    text = " ".join(note.split())
    if not 1 <= len(text) <= NOTE_LENGTH_MAX:
        raise click.ClickException(f"A note has 1 to {NOTE_LENGTH_MAX} characters.")
    return text


def _show(payment: PaymentRecord) -> None:
    click.echo(
        f"{payment.payment_id} {payment.status}: {payment.amount:,} won, "
        f"{payment.cancelled_amount:,} given back,"
        f" {payment.held_amount:,} held; prepared {kst_text(payment.created_at)}"
    )
    for refund in payment.refunds:
        reason = f" {refund.failure}" if refund.failure else ""
        click.echo(
            f"  refund {refund.id} {refund.status}{reason}: {refund.amount:,} won, "
            f"{kst_text(refund.requested_at)}"
        )
    for cancellation in payment.cancellations:
        click.echo(
            f"  cancellation {cancellation.id} by {cancellation.trigger}: "
            f"{cancellation.amount:,} won"
        )


def _line(alert: PaymentAlertRecord) -> str:
    state = "open" if alert.resolved_at is None else f"resolved: {alert.note}"
    return (
        f"{alert.payment_id} {alert.kind} ({alert.detail or '-'}), {alert.times} times since"
        f" {kst_text(alert.raised_at)}, {state}"
    )
