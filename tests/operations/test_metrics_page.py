"""docs/operations/metrics.md lists all metric families."""

import re

from launcher.plan import ROOT
from trading.observability.metrics.families import FAMILIES, Family

PAGE = (ROOT / "docs" / "operations" / "metrics.md").read_text(encoding="utf-8")


def row_of(family: Family) -> str:
    """Return a family's row on the page; print all of them into it after a change."""
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    processes = ", ".join(family.exposed_by)
    return f"| `{family.name}` | {family.kind} | {labels} | {processes} | {family.help} |"


def test_page_lists_all_families() -> None:
    """In the order of the code, with kind, labels, processes and help text."""
    assert re.findall(r"^\| `stocking_.*\|$", PAGE, re.MULTILINE) == [
        row_of(family) for family in FAMILIES
    ]


def test_page_describes_all_labels() -> None:
    described = {
        label
        for first in re.findall(r"^\| (`[a-z_]+`.*?) \|", PAGE, re.MULTILINE)
        for label in re.findall(r"`([a-z_]+)`", first)
    }
    assert {label for family in FAMILIES for label in family.labels} <= described
