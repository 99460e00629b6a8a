"""deploy/monitoring/grafana-dashboard.json: each panel asks for what is told, and no family is left in the dark."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from tests.operations.promql import faults_of, read
from trading.observability.metrics.families import FAMILIES

FOLDER = ROOT / "deploy" / "monitoring"
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]

every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def selectors_of(expressions: Iterator[str]) -> set[str]:
    return {name for expression in expressions for name, _ in read(expression).selectors}


@every_panel
def test_a_panel_asks_for_what_is_told(panel: dict[str, Any]) -> None:
    """And names in its legend only labels that its expression leaves."""
    assert panel["targets"]
    for target in panel["targets"]:
        assert faults_of(target["expr"]) == []
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = read(target["expr"]).grouped_by
        assert named <= (grouped or {"instance", "job"}), target["expr"]


def test_every_family_is_shown_somewhere() -> None:
    """What nobody shows and no rule asks for is told for nothing."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    asked = selectors_of(
        target["expr"] for panel in PANELS for target in panel["targets"]
    ) | selectors_of(rule["expr"] for group in rules for rule in group["rules"])
    dark = {
        family.name
        for family in FAMILIES
        if not any(name.startswith(family.name) for name in asked)
    }
    assert dark <= {"stocking_ticks_read_total", "stocking_tick_reader_caught_up_age_seconds"}


def test_panels_lie_beside_and_below_each_other() -> None:
    """Grafana takes what is given: two in one place would hide each other."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        "Orders and stages",
        "Feed",
        "API",
        "Workers and queues",
        "Payments and audit",
        "Gateway",
    ]


def test_it_finds_the_source_that_is_provisioned() -> None:
    """By the same name, or every panel is empty."""
    (source,) = yaml.safe_load((FOLDER / "grafana-source.yml").read_text())["datasources"]
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used == {source["uid"]}
