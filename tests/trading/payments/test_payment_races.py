"""Races of real threads on MariaDB: one credit, one reversal, no won refunded twice."""

from collections.abc import Callable, Sequence
from uuid import UUID

from tests.support.payments_stack import PaymentsStack, owner_of
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import cash, rows
from tests.trading.payments.test_check_payment import CASH
from tests.trading.threads import outcome, run_together
from trading.db.ids import new_id
from trading.exchange.order_types import Side
from trading.ledger.errors import AccountOverdrawn, InsufficientCash
from trading.payments.errors import RefundExceedsPayment
from trading.payments.refunds import RequestRefund, request_refund
from trading.tasks import Task, TaskRequest

ROUNDS = 50


def check_task(harness: TradingHarness, payment_id: str) -> Callable[[], object]:
    """Return a check of a payment as a worker does it."""
    return lambda: harness.run(TaskRequest(Task.VERIFY_PAYMENT, (UUID(hex=payment_id),)))


def pursuing(harness: TradingHarness, refund_id: UUID) -> Callable[[], object]:
    return lambda: harness.run(TaskRequest(Task.REFUND_PAYMENT, (refund_id,)))


def asking(
    harness: TradingHarness, user: UUID, payment_id: str, amount: int
) -> Callable[[], object]:
    def ask() -> UUID:
        refund_id = new_id()
        harness.core.run(
            request_refund,
            RequestRefund(
                refund_id=refund_id,
                payment_id=UUID(hex=payment_id),
                user_id=user,
                amount=amount,
                reason="환불",
            ),
        )
        return refund_id

    return outcome(ask, RefundExceedsPayment, InsufficientCash, AccountOverdrawn)


def accepted(results: Sequence[object]) -> list[UUID]:
    return [result for result in results if isinstance(result, UUID)]


def test_concurrent_complete_webhook_and_sweep_credit_once(server_stack: PaymentsStack) -> None:
    """Fifty payments, each checked by three workers at the same moment: fifty credits."""
    stack, user = server_stack, server_stack.api.person()
    for _ in range(ROUNDS):
        payment_id = stack.prepare(user, 1_000)
        stack.portone.open(payment_id, 1_000, webhook="none")
        stack.portone.move(payment_id, "pay", webhook="none")
        run_together(*[check_task(stack.harness, payment_id)] * 3)
    assert cash(stack.harness, owner_of(user)) == (CASH + ROUNDS * 1_000, 0)
    recorded = rows(
        stack.harness, "SELECT COUNT(*) AS credits FROM transactions WHERE credit_of IS NOT NULL"
    )
    assert recorded[0]["credits"] == ROUNDS
    assert stack.harness.breaches() == []


def test_refund_answer_and_its_webhook_record_one_cancellation(
    server_stack: PaymentsStack,
) -> None:
    """Answer and check both report the cancellation; one of them records it."""
    stack, user = server_stack, server_stack.api.person()
    payment_id = stack.paid(user, 100_000)
    for _ in range(ROUNDS):
        refund = UUID(stack.refund(user, payment_id, 1_000)["id"])
        run_together(pursuing(stack.harness, refund), *[check_task(stack.harness, payment_id)] * 2)
        stack.harness.sent.clear()
    stack.sweep_until_quiet(turns=5)
    assert cash(stack.harness, owner_of(user)) == (CASH + 100_000 - ROUNDS * 1_000, 0)
    assert len(stack.portone.payments()[payment_id]["cancellations"]) == ROUNDS
    assert stack.harness.breaches() == []


def test_concurrent_refunds_of_the_same_money_cancel_once(server_stack: PaymentsStack) -> None:
    """One of ten refunds of the whole amount is accepted; two workers processing it cancel once."""
    stack, user = server_stack, server_stack.api.person()
    payment_id = stack.paid(user)
    (refund_id,) = accepted(
        run_together(*[asking(stack.harness, owner_of(user), payment_id, 10_000)] * 10)
    )
    run_together(*[pursuing(stack.harness, refund_id)] * 4)
    stack.sweep_until_quiet(turns=5)
    assert len(stack.portone.payments()[payment_id]["cancellations"]) == 1
    assert cash(stack.harness, owner_of(user)) == (CASH, 0)
    assert stack.harness.breaches() == []


def test_orders_racing_a_chargeback_leave_the_smallest_debt(server_stack: PaymentsStack) -> None:
    """Buys placed during the reversal are either cancelled or refused."""
    stack = server_stack
    harness = stack.harness
    for _ in range(8):
        person = stack.api.person()
        user = owner_of(person)
        payment_id = stack.paid(person, 1_000_000)
        harness.tick(70_000)
        for _ in range(3):
            harness.place(user, Side.BUY, 40, limit=69_000)
        stack.portone.move(payment_id, "chargeback", webhook="none")
        placing = outcome(
            lambda user=user: harness.place(user, Side.BUY, 5, limit=69_000),
            InsufficientCash,
            AccountOverdrawn,
        )
        run_together(
            check_task(harness, payment_id), check_task(harness, payment_id), *[placing] * 4
        )
        balance, reserved = cash(harness, user)
        assert balance == CASH
        assert reserved <= CASH
        assert harness.breaches() == []
