"""A payment from its preparation to its credit, whoever says that there is news, and what is found instead of the money."""

from tests.payments_stack import PaymentsStack
from tests.servers import wait_until

STARTING_CASH = 10_000_000


def test_a_payment_is_credited_once(stack: PaymentsStack) -> None:
    """Complete, the webhook and the sweep all cause looks; the money is booked by the first, and the events tell of it."""
    who = stack.api.person()
    payment_id = stack.prepare(who, 10_000)
    stack.portone.pay(payment_id, 10_000)
    wait_until(lambda: len(stack.books.sent) >= 2, what="both webhooks")
    stack.complete(who, payment_id)
    assert stack.payment(who, payment_id)["status"] == "PENDING"

    stack.work()

    shown = stack.payment(who, payment_id)
    assert (shown["status"], shown["cancelled_amount"], shown["refundable_amount"]) == ("CREDITED", 0, 10_000)
    assert stack.balance(who)["cash_balance"] == STARTING_CASH + 10_000
    assert stack.books.breaches() == []
