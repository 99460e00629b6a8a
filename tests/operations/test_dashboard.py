"""deploy/monitoring/grafana-dashboard.json: panels use exported series; families are used."""

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
def test_panel_uses_exported_series(panel: dict[str, Any]) -> None:
    """Its legend only uses labels that remain in the expression."""
    assert panel["targets"]
    for target in panel["targets"]:
        assert faults_of(target["expr"]) == []
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = read(target["expr"]).grouped_by
        assert named <= (grouped or {"instance", "job"}), target["expr"]


def test_every_family_is_used() -> None:
    """In a panel or a rule."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    used = selectors_of(
        target["expr"] for panel in PANELS for target in panel["targets"]
    ) | selectors_of(rule["expr"] for group in rules for rule in group["rules"])
    unused = {
        family.name for family in FAMILIES if not any(name.startswith(family.name) for name in used)
    }
    assert unused <= {"stocking_ticks_read_total", "stocking_tick_reader_caught_up_age_seconds"}


def test_panels_do_not_overlap() -> None:
    occupied: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not occupied & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        occupied |= cells
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


def test_panels_use_the_provisioned_data_source() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana-source.yml").read_text())["datasources"]
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used == {source["uid"]}
