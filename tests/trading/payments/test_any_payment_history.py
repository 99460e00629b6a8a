"""State machine over payments, compared with PortOne's own records.

Browsers, banks, the console, workers and lost messages act in any order.
"""

from typing import Any, ClassVar
from uuid import UUID

import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.deadlines import DEADLINE_S
from tests.support.payments_stack import PaymentsStack
from tests.support.properties import examples
from tests.trading.orders.steps import rows
from tests.webapp.client import Person
from trading.tasks import Task, TaskRequest

EXAMPLES = examples(8)
AMOUNT = 10_000
WHOSE = st.integers(0, 1)
WHICH = st.integers(0, 20)
PART = st.sampled_from((1, 2_500, 5_000, 10_000))
MOVES = (
    "open",
    "pay",
    "fail",
    "pend",
    "approve",
    "reject",
    "issue-account",
    "deposit",
    "approve-late",
)
FAULTS = (
    {"method": "POST", "drop": "after"},
    {"method": "POST", "drop": "before"},
    {"method": "GET", "drop": "before"},
    {"method": "GET", "stale": True},
    {"method": "GET", "truncate": True},
    {
        "method": "POST",
        "path": ".*/cancel",
        "answer": {
            "status": 502,
            "body": '{"type": "PG_PROVIDER"}',
            "headers": {"Content-Type": "application/json"},
        },
    },
)  # fmt: skip


class PaymentHistory(RuleBasedStateMachine):
    """Random history of payments, in which webhooks arrive or are lost.

    ``stack`` lives for the whole test; each history starts with new users.
    """

    stack: ClassVar[PaymentsStack]

    @initialize()
    def two_users(self) -> None:
        self.people: list[Person] = [self.stack.api.person() for _ in range(2)]
        self.payments: list[tuple[Person, str]] = []
        self.stack.portone.control("faults", "PUT")
        self.stack.harness.sent.clear()

    @rule(user=WHOSE)
    def prepare(self, user: int) -> None:
        answer = self.stack.api.post(
            "/payments/portone/prepare",
            self.people[user],
            {"amount": AMOUNT, "order_name": "충전", "currency": "KRW"},
        )
        if answer.status_code == 201:
            self.payments.append((self.people[user], answer.get_json()["data"]["payment_id"]))
        else:
            assert answer.status_code == 503, answer.get_data(as_text=True)

    @rule(which=WHICH, move=st.sampled_from(MOVES), reported=st.booleans())
    def payer_or_bank_acts(self, which: int, move: str, reported: bool) -> None:
        more: dict[str, Any] = {
            "amount": AMOUNT,
            "channel_type": "LIVE",
            "slow_cancellations": which % 3 == 0,
        }
        self.at_portone(which, move, reported=reported, **(more if move == "open" else {}))

    @rule(which=WHICH, reported=st.booleans())
    def the_payer_pays(self, which: int, reported: bool) -> None:
        self.at_portone(
            which,
            "open",
            reported=reported,
            amount=AMOUNT,
            channel_type="LIVE",
            slow_cancellations=which % 3 == 0,
        )
        self.at_portone(which, "pay", reported=reported)

    @rule(
        which=WHICH,
        move=st.sampled_from(("console-cancel", "chargeback")),
        part=PART,
        reported=st.booleans(),
    )
    def money_is_taken_back(self, which: int, move: str, part: int, reported: bool) -> None:
        self.at_portone(which, move, reported=reported, amount=part)

    @rule(which=WHICH, approves=st.booleans())
    def the_gateway_decides(self, which: int, approves: bool) -> None:
        self.at_portone(
            which, "approve-cancellation" if approves else "reject-cancellation", reported=approves
        )

    @rule(which=WHICH)
    def the_browser_completes(self, which: int) -> None:
        if self.payments:
            user, payment_id = self.payments[which % len(self.payments)]
            answer = self.stack.api.post(
                "/payments/portone/complete", user, {"payment_id": payment_id}
            )
            assert answer.status_code == 202

    @rule(which=WHICH, part=PART)
    def a_refund_is_asked_for(self, which: int, part: int) -> None:
        if self.payments:
            user, payment_id = self.payments[which % len(self.payments)]
            answer = self.stack.api.post(f"/payments/{payment_id}/cancel", user, {"amount": part})
            assert answer.status_code in (202, 409), answer.get_data(as_text=True)

    @rule(user=WHOSE)
    def all_cash_is_withdrawn(self, user: int) -> None:
        available = self.stack.balance(self.people[user])["available_cash"]
        if available:
            self.stack.api.post("/balance/withdraw", self.people[user], {"amount": available})

    @rule(fault=st.sampled_from(FAULTS))
    def something_goes_wrong(self, fault: dict[str, Any]) -> None:
        self.stack.portone.inject_fault(**fault)

    @rule(which=WHICH, times=st.integers(0, 2))
    def a_worker_is_woken(self, which: int, times: int) -> None:
        """Run one of the dispatched tasks zero, one or two times, out of order."""
        if self.stack.harness.sent:
            request = self.stack.harness.sent.pop(which % len(self.stack.harness.sent))
            for _ in range(times):
                self.stack.harness.run(request)

    @rule(which=WHICH)
    def a_worker_checks_a_payment(self, which: int) -> None:
        if self.payments:
            payment_id = self.payments[which % len(self.payments)][1]
            self.stack.harness.run(TaskRequest(Task.VERIFY_PAYMENT, (UUID(hex=payment_id),)))

    @rule(minutes=st.sampled_from((1, 5, 40)))
    def time_passes_and_the_sweep_comes(self, minutes: int) -> None:
        self.stack.harness.clock.advance(minutes=minutes)
        self.stack.sweep()

    @invariant()
    def the_books_are_sound(self) -> None:
        assert self.stack.harness.breaches() == []

    def teardown(self) -> None:
        """Stop all faults, let time pass, and compare all our records with PortOne's."""
        if not hasattr(self, "payments"):
            return
        self.stack.portone.control("faults", "PUT")
        for _, payment_id in self.payments:
            for _ in range(10):
                if not self.at_portone_id(payment_id, "approve-cancellation", reported=False):
                    break
            self.stack.harness.run(TaskRequest(Task.VERIFY_PAYMENT, (UUID(hex=payment_id),)))
        self.stack.sweep_until_quiet(turns=8, minutes=20)
        for _, payment_id in self.payments:
            self.at_portone_id(payment_id, "approve-cancellation", reported=False)
        self.stack.sweep_until_quiet(turns=4, minutes=61)
        ledger = self.stack.portone.payments()
        for _, payment_id in self.payments:
            (recorded,) = rows(
                self.stack.harness,
                """SELECT COALESCE(SUM(CASE WHEN t.credit_of IS NOT NULL THEN t.amount
                    ELSE -t.amount END), 0) AS won
                FROM transactions t LEFT JOIN payment_cancellations c ON c.id = t.reversal_of
                WHERE t.credit_of = :id OR c.payment_id = :id""",
                id=UUID(hex=payment_id).bytes,
            )
            assert recorded["won"] == remaining_at_portone(ledger.get(payment_id)), payment_id
        self.the_books_are_sound()

    def at_portone(self, which: int, move: str, *, reported: bool, **members: Any) -> None:
        if self.payments:
            self.at_portone_id(
                self.payments[which % len(self.payments)][1], move, reported=reported, **members
            )

    def at_portone_id(self, payment_id: str, move: str, *, reported: bool, **members: Any) -> bool:
        """Return True if PortOne allowed the move."""
        url = f"{self.stack.portone.url}/sandbox/portone/payments/{payment_id}/{move}"
        answer = requests.post(
            url, json={"webhook": "auto" if reported else "none", **members}, timeout=DEADLINE_S
        )
        assert answer.status_code in (200, 404, 409), answer.text
        return answer.status_code == 200


def remaining_at_portone(payment: dict[str, Any] | None) -> int:
    """Return the amount (won) that PortOne's records leave with us."""
    if payment is None or payment["status"] not in ("PAID", "PARTIAL_CANCELLED", "CANCELLED"):
        return 0
    return int(payment["amount"]["total"] - payment["amount"]["cancelled"])


def test_any_payment_history_keeps_ledger_and_portone_in_agreement(stack: PaymentsStack) -> None:
    """The audit is clean after each step; in the end both sides agree to the won."""
    PaymentHistory.stack = stack
    run_state_machine_as_test(
        PaymentHistory,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
        ),
    )
