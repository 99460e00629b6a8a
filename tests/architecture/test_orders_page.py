"""The page about orders tells what the code does."""

from launcher.plan import ROOT
from trading.orders.fills import FillRule
from trading.orders.model import ORDER_TRANSITIONS, EndReason

PAGE = (ROOT / "docs" / "orders.md").read_text(encoding="utf-8")


def test_the_diagram_is_that_of_the_state_table() -> None:
    """Print ``ORDER_TRANSITIONS.diagram()`` into the page when the table changes."""
    assert f"```mermaid\n{ORDER_TRANSITIONS.diagram()}\n```" in PAGE


def test_every_rule_and_every_reason_is_explained() -> None:
    """A code that an answer may carry stands on the page."""
    assert {str(word) for word in (*FillRule, *EndReason) if f"`{word}`" not in PAGE} == set()
