"""Payments from preparation to credit: notifications, checks and their findings."""

from uuid import UUID

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.support.servers import wait_until
from tests.trading.orders.steps import events, rows
from trading.account_events.stream import EventKind
from trading.accounts.accounts import close_account
from trading.payments.check_payment import apply_report
from trading.payments.model import payment_id_of
from trading.payments.prepare import record_notification
from trading.payments.queries import list_alerts
from trading.tasks import Task, TaskRequest

CASH = 10_000_000
JSON = {"Content-Type": "application/json"}


def check(stack: PaymentsStack, payment_id: str) -> None:
    """Check the payment as a worker does."""
    stack.harness.sent.clear()
    stack.harness.run(TaskRequest(Task.VERIFY_PAYMENT, (UUID(hex=payment_id),)))


def alerts(stack: PaymentsStack, payment_id: str) -> list[str]:
    found = stack.harness.core.read(list_alerts, UUID(hex=payment_id))
    return sorted(alert.kind for alert in found if alert.resolved_at is None)


def event_statuses(stack: PaymentsStack, user: UUID) -> list[str]:
    """Return the payment states in a user's account events."""
    return [
        event.data["status"]
        for event in events(stack.harness, user)
        if event.kind is EventKind.PAYMENT
    ]


def test_payment_is_credited_once(stack: PaymentsStack) -> None:
    """Complete, webhook and sweep all cause checks; the first one credits and emits the event."""
    user = stack.api.person()
    payment_id = stack.prepare(user, 10_000)
    stack.portone.pay(payment_id, 10_000)
    wait_until(lambda: len(stack.harness.sent) >= 2, what="both webhooks")
    stack.complete(user, payment_id)
    assert stack.payment(user, payment_id)["status"] == "PENDING"

    stack.work()

    payment = stack.payment(user, payment_id)
    assert (payment["status"], payment["cancelled_amount"], payment["refundable_amount"]) == (
        "CREDITED",
        0,
        10_000,
    )
    assert stack.balance(user)["cash_balance"] == CASH + 10_000
    assert event_statuses(stack, owner_of(user)) == ["CREDITED"]
    assert stack.harness.breaches() == []


def test_sweep_finds_a_payment_without_notifications(stack: PaymentsStack) -> None:
    """The browser crashed and the payer redirected our webhooks; the money is credited anyway."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "pay", webhook="none")
    stack.sweep_until_quiet(turns=2)
    assert stack.payment(user, payment_id)["status"] == "CREDITED"


def test_pending_payment_is_not_credited(stack: PaymentsStack) -> None:
    """Nor are an open window and a virtual account; a failed payment may be retried."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    check(stack, payment_id)
    for move, status in (("pend", "APPROVAL_PENDING"), ("reject", "FAILED")):
        if move == "pend":
            stack.portone.open(payment_id, 10_000, webhook="none")
            check(stack, payment_id)
        stack.portone.move(payment_id, move, webhook="none")
        check(stack, payment_id)
        assert rows(stack.harness, "SELECT finding FROM payments")[0]["finding"] == status
    assert stack.payment(user, payment_id)["failure"]
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "issue-account", webhook="none")
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["virtual_account"]["number"] == "X0000000000001"
    assert stack.balance(user)["cash_balance"] == CASH

    stack.portone.move(payment_id, "deposit", webhook="none")
    check(stack, payment_id)

    assert stack.payment(user, payment_id)["status"] == "CREDITED"
    assert stack.payment(user, payment_id)["virtual_account"] is None
    assert stack.harness.breaches() == []


def test_unstarted_payment_expires_and_late_money_is_credited(stack: PaymentsStack) -> None:
    """After the expiry no check is scheduled; a webhook about late money still credits it."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "fail", webhook="none")
    stack.sweep_until_quiet(turns=40)
    assert stack.payment(user, payment_id)["status"] == "EXPIRED"
    assert rows(stack.harness, "SELECT next_attempt_at FROM payments")[0]["next_attempt_at"] is None

    stack.portone.move(payment_id, "approve-late", webhook="none")
    stack.complete(user, payment_id)
    stack.work()

    assert stack.payment(user, payment_id)["status"] == "CREDITED"
    assert event_statuses(stack, owner_of(user)) == ["PENDING", "EXPIRED", "CREDITED"]
    assert stack.harness.breaches() == []


def test_expired_virtual_account_is_closed(stack: PaymentsStack) -> None:
    """A month after the expiry, so that no money can arrive any more."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "issue-account", webhook="none")
    check(stack, payment_id)
    stack.harness.clock.advance(days=31)
    check(stack, payment_id)
    assert stack.portone.payments()[payment_id]["status"] == "FAILED"
    assert stack.payment(user, payment_id)["status"] == "EXPIRED"


@pytest.mark.parametrize(
    ("patch", "mismatches"),
    [
        ({"/amount/total": 10_001}, "amount"),
        ({"/amount/total": 10_000.0}, "amount"),
        ({"/amount/total": True}, "amount"),
        ({"/currency": "USD"}, "currency"),
        ({"/storeId": "store-other"}, "store"),
        ({"/version": "V1"}, "version"),
        ({"/channel/type": "TEST"}, "test-channel"),
        ({"/channel/key": "channel-key-of-somebody-else"}, "channel"),
        ({"/amount/taxFree": 1}, "tax-free-amount"),
    ],
)
def test_payment_that_differs_from_its_terms_is_not_credited(
    stack: PaymentsStack, patch: dict[str, object], mismatches: str
) -> None:
    """The payer controls the browser: any difference stops the credit and opens an alert."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", patch=patch, times=None)
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["status"] == "MISMATCHED"
    assert rows(stack.harness, "SELECT mismatches FROM payments")[0]["mismatches"] == mismatches
    assert alerts(stack, payment_id) == ["mismatch"]
    assert stack.balance(user)["cash_balance"] == CASH
    assert stack.harness.breaches() == []


def test_new_portone_values_do_not_lose_a_payment(stack: PaymentsStack) -> None:
    """An unknown status waits with an alert; an unknown payment method is credited."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", patch={"/status": "HALF_PAID"})
    check(stack, payment_id)
    assert (stack.payment(user, payment_id)["status"], alerts(stack, payment_id)) == (
        "PENDING",
        ["unknown-status"],
    )
    stack.portone.inject_fault(
        method="GET", patch={"/method": {"type": "PaymentMethodTelepathy"}, "/new": {"a": [None]}}
    )
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["status"] == "CREDITED"


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"truncate": True},
        {"answer": {"status": 502, "body": "<html>", "headers": {"Content-Type": "text/html"}}},
        {"answer": {"status": 404, "body": "<html>", "headers": {"Content-Type": "text/html"}}},
        {
            "answer": {
                "status": 429,
                "body": '{"type": "TOO_MANY"}',
                "headers": {"Retry-After": "60"},
            }
        },
    ],
)
def test_failed_check_is_repeated_with_growing_delays(
    stack: PaymentsStack, fault: dict[str, object]
) -> None:
    """A missing answer or a proxy's page proves nothing; a later check finds the money."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", times=3, **fault)
    for _ in range(3):
        check(stack, payment_id)
        assert stack.payment(user, payment_id)["status"] == "PENDING"
    assert alerts(stack, payment_id) == []
    stack.sweep_until_quiet(turns=3)
    assert stack.payment(user, payment_id)["status"] == "CREDITED"


def test_refused_secret_opens_an_alert(stack: PaymentsStack) -> None:
    """Checks continue once the secret is corrected."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(
        method="GET", answer={"status": 401, "body": '{"type": "UNAUTHORIZED"}', "headers": JSON}
    )
    check(stack, payment_id)
    assert alerts(stack, payment_id) == ["look-refused"]
    stack.sweep_until_quiet(turns=2)
    assert stack.payment(user, payment_id)["status"] == "CREDITED"


def test_cancellation_before_the_first_check_is_recorded_with_the_credit(
    stack: PaymentsStack,
) -> None:
    """The ledger has both entries, whichever was reported first."""
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.move(payment_id, "console-cancel", amount=4_000)
    check(stack, payment_id)
    payment = stack.payment(user, payment_id)
    assert (payment["status"], payment["cancelled_amount"]) == ("PARTIALLY_CANCELLED", 4_000)
    stack.portone.move(payment_id, "console-cancel")
    check(stack, payment_id)
    assert stack.payment(user, payment_id)["status"] == "CANCELLED"
    assert stack.balance(user)["cash_balance"] == CASH
    assert stack.harness.breaches() == []


def test_chargeback_without_a_webhook_is_found(stack: PaymentsStack) -> None:
    """The payer chooses where webhooks go, so credited payments are checked from time to time."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.portone.move(payment_id, "chargeback", webhook="none")
    stack.sweep_until_quiet(turns=1, minutes=61)
    assert stack.payment(user, payment_id)["status"] == "CANCELLED"
    assert alerts(stack, payment_id) == ["chargeback"]


def test_dispute_opens_an_alert(stack: PaymentsStack) -> None:
    user = stack.api.person()
    payment_id = stack.paid(user)
    stack.portone.move(payment_id, "dispute-open")
    check(stack, payment_id)
    assert alerts(stack, payment_id) == ["disputed"]
    assert stack.payment(user, payment_id)["status"] == "CREDITED"


def test_payment_of_a_closed_account_is_credited_with_an_alert(stack: PaymentsStack) -> None:
    user = stack.api.person()
    payment_id = stack.prepare(user)
    stack.portone.pay(payment_id, 10_000)
    # Over HTTP a payment under way prevents this; money may also arrive after a payment expired.
    stack.harness.core.run(close_account, user_id=owner_of(user))
    check(stack, payment_id)
    assert alerts(stack, payment_id) == ["account-closed"]
    (row,) = rows(stack.harness, "SELECT status FROM payments")
    assert row["status"] == "CREDITED"
    assert stack.harness.breaches() == []


def test_notification_during_a_check_causes_another_check(stack: PaymentsStack) -> None:
    """The webhook may be newer than PortOne's answer, and its task may be lost."""
    user = stack.api.person()
    payment_id = stack.paid(user)
    identifier = UUID(hex=payment_id)
    core = stack.harness.core
    report = core.portone.get_payment(payment_id)
    stack.harness.core.run(record_notification, identifier)
    (before,) = rows(stack.harness, "SELECT next_attempt_at, notification_count FROM payments")
    core.run(
        apply_report,
        identifier,
        report,
        notification_count=before["notification_count"] - 1,
    )
    (after,) = rows(stack.harness, "SELECT next_attempt_at FROM payments")
    assert after["next_attempt_at"] == before["next_attempt_at"]


def test_check_of_a_missing_payment_does_nothing(stack: PaymentsStack) -> None:
    check(stack, payment_id_of(UUID(int=5)))
    assert stack.portone.control("requests", "GET")["requests"] == []
