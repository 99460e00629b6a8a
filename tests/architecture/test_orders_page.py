"""docs/orders.md compared with the code."""

from launcher.plan import ROOT
from trading.orders.fill_price import FillRule
from trading.orders.model import ORDER_TRANSITIONS, EndReason

PAGE = (ROOT / "docs" / "orders.md").read_text(encoding="utf-8")


def test_diagram_equals_the_transition_table() -> None:
    """Print ``ORDER_TRANSITIONS.diagram()`` into the page when the table changes."""
    assert f"```mermaid\n{ORDER_TRANSITIONS.diagram()}\n```" in PAGE


def test_page_explains_every_rule_and_reason() -> None:
    assert {str(word) for word in (*FillRule, *EndReason) if f"`{word}`" not in PAGE} == set()
