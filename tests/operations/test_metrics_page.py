"""docs/operations/metrics.md against the families themselves."""

import re

from launcher.plan import ROOT
from trading.observability.metrics.families import FAMILIES, Family

PAGE = (ROOT / "docs" / "operations" / "metrics.md").read_text(encoding="utf-8")


def row_of(family: Family) -> str:
    """A family's row as it stands on the page; print all of them into it when families change."""
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    return f"| `{family.name}` | {family.kind} | {labels} | {', '.join(family.exposed_by)} | {family.help} |"


def test_the_page_tells_every_family_and_no_other() -> None:
    """In the order of the code, with kind, labels, who tells it, and what it means."""
    assert re.findall(r"^\| `stocking_.*\|$", PAGE, re.MULTILINE) == [
        row_of(family) for family in FAMILIES
    ]


def test_the_page_tells_what_each_label_may_be() -> None:
    told = {
        label
        for first in re.findall(r"^\| (`[a-z_]+`.*?) \|", PAGE, re.MULTILINE)
        for label in re.findall(r"`([a-z_]+)`", first)
    }
    assert {label for family in FAMILIES for label in family.labels} <= told
