"""A payment from its preparation to its credit, whoever says that there is news, and what is found instead of the money."""

from uuid import UUID

import pytest

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.support.servers import wait_until
from tests.trading.orders.steps import events, rows
from trading.account_events.stream import EventKind
from trading.payments.model import payment_id_of
from trading.payments.prepare import record_notification
from trading.payments.queries import list_alerts
from trading.payments.verify import apply_report
from trading.tasks import Task, TaskRequest

CASH = 10_000_000
JSON = {"Content-Type": "application/json"}


def look(stack: PaymentsStack, payment_id: str) -> None:
    """What a worker does when it is woken for this payment."""
    stack.harness.sent.clear()
    stack.harness.run(TaskRequest(Task.VERIFY_PAYMENT, (UUID(hex=payment_id),)))


def alerts(stack: PaymentsStack, payment_id: str) -> list[str]:
    found = stack.harness.core.read(list_alerts, UUID(hex=payment_id))
    return sorted(alert.kind for alert in found if alert.resolved_at is None)


def told(stack: PaymentsStack, user: UUID) -> list[str]:
    """The states of payments that a user was told of."""
    return [
        event.data["status"]
        for event in events(stack.harness, user)
        if event.kind is EventKind.PAYMENT
    ]


def test_a_payment_is_credited_once(stack: PaymentsStack) -> None:
    """Complete, the webhook and the sweep all cause looks; the money is booked by the first, and the events tell of it."""
    who = stack.api.person()
    payment_id = stack.prepare(who, 10_000)
    stack.portone.pay(payment_id, 10_000)
    wait_until(lambda: len(stack.harness.sent) >= 2, what="both webhooks")
    stack.complete(who, payment_id)
    assert stack.payment(who, payment_id)["status"] == "PENDING"

    stack.work()

    shown = stack.payment(who, payment_id)
    assert (shown["status"], shown["cancelled_amount"], shown["refundable_amount"]) == (
        "CREDITED",
        0,
        10_000,
    )
    assert stack.balance(who)["cash_balance"] == CASH + 10_000
    assert told(stack, owner_of(who)) == ["CREDITED"]
    assert stack.harness.breaches() == []


def test_the_sweep_finds_what_nobody_tells_of(stack: PaymentsStack) -> None:
    """The browser dies, and the payer had our webhooks sent elsewhere: the money is found all the same."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "pay", webhook="none")
    stack.sweep_until_quiet(turns=2)
    assert stack.payment(who, payment_id)["status"] == "CREDITED"


def test_what_is_under_way_is_no_money(stack: PaymentsStack) -> None:
    """A window, an approval that is pending and an account credit nothing, and are waited for; a failure may be tried again."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    look(stack, payment_id)
    for move, status in (("pend", "APPROVAL_PENDING"), ("reject", "FAILED")):
        if move == "pend":
            stack.portone.open(payment_id, 10_000, webhook="none")
            look(stack, payment_id)
        stack.portone.move(payment_id, move, webhook="none")
        look(stack, payment_id)
        assert rows(stack.harness, "SELECT finding FROM payments")[0]["finding"] == status
    assert stack.payment(who, payment_id)["failure"]
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "issue-account", webhook="none")
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["virtual_account"]["number"] == "X0000000000001"
    assert stack.balance(who)["cash_balance"] == CASH

    stack.portone.move(payment_id, "deposit", webhook="none")
    look(stack, payment_id)

    assert stack.payment(who, payment_id)["status"] == "CREDITED"
    assert stack.payment(who, payment_id)["virtual_account"] is None
    assert stack.harness.breaches() == []


def test_a_payment_that_nobody_begins_expires_and_late_money_is_money(stack: PaymentsStack) -> None:
    """After its time nobody looks any more; when money comes all the same, by a webhook, it is credited."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "fail", webhook="none")
    stack.sweep_until_quiet(turns=40)
    assert stack.payment(who, payment_id)["status"] == "EXPIRED"
    assert rows(stack.harness, "SELECT next_attempt_at FROM payments")[0]["next_attempt_at"] is None

    stack.portone.move(payment_id, "approve-late", webhook="none")
    stack.complete(who, payment_id)
    stack.work()

    assert stack.payment(who, payment_id)["status"] == "CREDITED"
    assert told(stack, owner_of(who)) == ["PENDING", "EXPIRED", "CREDITED"]
    assert stack.harness.breaches() == []


def test_an_account_that_nobody_waits_for_is_closed(stack: PaymentsStack) -> None:
    """A month after the expiry its number is taken away, so that no money comes to it any more."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "issue-account", webhook="none")
    look(stack, payment_id)
    stack.harness.clock.advance(days=31)
    look(stack, payment_id)
    assert stack.portone.payments()[payment_id]["status"] == "FAILED"
    assert stack.payment(who, payment_id)["status"] == "EXPIRED"


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
def test_money_that_was_not_agreed_is_not_credited(
    stack: PaymentsStack, patch: dict[str, object], mismatches: str
) -> None:
    """The browser is the payer's: whatever differs from what was stored stops the credit, and a person is called."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", patch=patch, times=None)
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["status"] == "MISMATCHED"
    assert rows(stack.harness, "SELECT mismatches FROM payments")[0]["mismatches"] == mismatches
    assert alerts(stack, payment_id) == ["mismatch"]
    assert stack.balance(who)["cash_balance"] == CASH
    assert stack.harness.breaches() == []


def test_a_word_that_portone_has_newly_made_up_costs_nobody_money(stack: PaymentsStack) -> None:
    """An unknown status waits with an alert; an unknown method of payment is no reason not to credit."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", patch={"/status": "HALF_PAID"})
    look(stack, payment_id)
    assert (stack.payment(who, payment_id)["status"], alerts(stack, payment_id)) == (
        "PENDING",
        ["unknown-status"],
    )
    stack.portone.inject_fault(
        method="GET", patch={"/method": {"type": "PaymentMethodTelepathy"}, "/new": {"a": [None]}}
    )
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["status"] == "CREDITED"


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
def test_a_look_that_fails_is_made_again(stack: PaymentsStack, fault: dict[str, object]) -> None:
    """Nothing is concluded from silence or from a proxy's page; the next look is put off, further each time, and finds the money."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(method="GET", times=3, **fault)
    for _ in range(3):
        look(stack, payment_id)
        assert stack.payment(who, payment_id)["status"] == "PENDING"
    assert alerts(stack, payment_id) == []
    stack.sweep_until_quiet(turns=3)
    assert stack.payment(who, payment_id)["status"] == "CREDITED"


def test_a_secret_that_is_refused_calls_a_person(stack: PaymentsStack) -> None:
    """Nobody else would notice; the payment is looked at again once it is mended."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.inject_fault(
        method="GET", answer={"status": 401, "body": '{"type": "UNAUTHORIZED"}', "headers": JSON}
    )
    look(stack, payment_id)
    assert alerts(stack, payment_id) == ["look-refused"]
    stack.sweep_until_quiet(turns=2)
    assert stack.payment(who, payment_id)["status"] == "CREDITED"


def test_what_was_given_back_before_the_first_look_is_booked_with_the_credit(
    stack: PaymentsStack,
) -> None:
    """Both sides of it are in the ledger, whichever was heard of first."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    stack.portone.move(payment_id, "console-cancel", amount=4_000)
    look(stack, payment_id)
    shown = stack.payment(who, payment_id)
    assert (shown["status"], shown["cancelled_amount"]) == ("PARTIALLY_CANCELLED", 4_000)
    stack.portone.move(payment_id, "console-cancel")
    look(stack, payment_id)
    assert stack.payment(who, payment_id)["status"] == "CANCELLED"
    assert stack.balance(who)["cash_balance"] == CASH
    assert stack.harness.breaches() == []


def test_a_chargeback_is_found_when_no_webhook_tells_of_it(stack: PaymentsStack) -> None:
    """Whoever pays chooses where webhooks go, so credited payments are looked at again from time to time."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.portone.move(payment_id, "chargeback", webhook="none")
    stack.sweep_until_quiet(turns=1, minutes=61)
    assert stack.payment(who, payment_id)["status"] == "CANCELLED"
    assert alerts(stack, payment_id) == ["chargeback"]


def test_a_dispute_calls_a_person(stack: PaymentsStack) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.portone.move(payment_id, "dispute-open")
    look(stack, payment_id)
    assert alerts(stack, payment_id) == ["disputed"]
    assert stack.payment(who, payment_id)["status"] == "CREDITED"


def test_money_for_an_account_that_was_closed_is_kept_in_its_books(stack: PaymentsStack) -> None:
    """Nothing is lost: it is credited, and a person told who gives it back."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.pay(payment_id, 10_000)
    assert stack.api.ask("DELETE", "/users/me", who).status_code == 200
    look(stack, payment_id)
    assert alerts(stack, payment_id) == ["account-closed"]
    (row,) = rows(stack.harness, "SELECT status FROM payments")
    assert row["status"] == "CREDITED"
    assert stack.harness.breaches() == []


def test_a_hint_during_a_look_is_not_forgotten_behind_it(stack: PaymentsStack) -> None:
    """A webhook that comes while PortOne is asked may know more than its answer, and its own wake-up may be lost."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    identifier = UUID(hex=payment_id)
    core = stack.harness.core
    report = core.portone.get_payment(payment_id)
    stack.harness.do(
        lambda session: record_notification(
            session, identifier, settings=core.settings, now=core.clock()
        )
    )
    (before,) = rows(stack.harness, "SELECT next_attempt_at, notification_count FROM payments")
    stack.harness.do(
        lambda session: apply_report(
            session,
            identifier,
            report,
            notification_count=before["notification_count"] - 1,
            settings=core.settings,
            now=core.clock(),
        )
    )
    (after,) = rows(stack.harness, "SELECT next_attempt_at FROM payments")
    assert after["next_attempt_at"] == before["next_attempt_at"]


def test_a_look_at_a_payment_that_is_not_there_does_nothing(stack: PaymentsStack) -> None:
    look(stack, payment_id_of(UUID(int=5)))
    assert stack.portone.control("requests", "GET")["requests"] == []
