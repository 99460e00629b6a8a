"""docs/payments.md compared with the code."""

from launcher.plan import ROOT
from sandbox.portone.browser import WINDOW_ACTIONS
from sandbox.portone.faults import PortoneFaults, Rule, Tampering, WebhookDelivery, WebhookFaults
from sandbox.portone.payments import MOVES
from sandbox.portone.rest import API_SECRET
from trading.payments.alert_kinds import PaymentAlertKind
from trading.payments.decide import DECISIONS, PaymentFinding
from trading.payments.model import PAYMENT_TRANSITIONS, PaymentStatus
from trading.payments.portone.webhooks import WebhookFault
from trading.payments.refund_model import REFUND_TRANSITIONS, RefundFailure

PAGE = (ROOT / "docs" / "payments.md").read_text(encoding="utf-8")


def test_diagram_equals_the_transition_table() -> None:
    """Print ``PAYMENT_TRANSITIONS.diagram()`` into the page when the table changes."""
    assert f"```mermaid\n{PAYMENT_TRANSITIONS.diagram()}\n```" in PAGE


def test_refund_diagram_equals_the_transition_table() -> None:
    """Print ``REFUND_TRANSITIONS.diagram()`` into the page when the table changes."""
    assert f"```mermaid\n{REFUND_TRANSITIONS.diagram()}\n```" in PAGE


def test_decisions_equal_the_decision_table() -> None:
    """One row for each result, in order; the three credited states are decided alike."""
    columns = (PaymentStatus.PENDING, PaymentStatus.EXPIRED, PaymentStatus.CREDITED)
    rows = [
        f"| {' | '.join([finding, *(DECISIONS[status, finding] for status in columns)])} |"
        for finding in PaymentFinding
    ]
    assert "\n".join(rows) in PAGE
    for status in (PaymentStatus.PARTIALLY_CANCELLED, PaymentStatus.CANCELLED):
        assert all(
            DECISIONS[status, finding] is DECISIONS[PaymentStatus.CREDITED, finding]
            for finding in PaymentFinding
        )


def test_page_explains_every_code() -> None:
    knobs = {name for knobs in (PortoneFaults, Rule, WebhookFaults) for name in knobs.model_fields}
    words = {
        *WebhookFault,
        *PaymentAlertKind,
        *RefundFailure,
        *(move for _, move in MOVES),
        *WINDOW_ACTIONS,
        *WebhookDelivery,
        *Tampering,
        *knobs,
        API_SECRET,
    }
    assert {str(word) for word in words if f"`{word}`" not in PAGE} == set()
