"""deploy/monitoring/alerts.yml: rules use exported series, fire as intended, and have a runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from tests.operations.promql import faults_of, read
from tests.support.servers import require_promtool
from tests.support.trading_harness import settings_for
from trading import bootstrap as trading_core
from trading.observability.metrics import instruments
from trading.operations.system_status import PipelineStage
from trading.payments.decide import PaymentAction
from webapp import create_app
from webapp.http.problems import CODES

FOLDER = ROOT / "deploy" / "monitoring"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
CASES = Path(__file__).with_name("alerts.yml")

every_rule = pytest.mark.parametrize("name", RULES)


@every_rule
def test_rule_uses_exported_series_and_labels(name: str) -> None:
    """Otherwise it would never fire."""
    assert faults_of(RULES[name]["expr"]) == []


@every_rule
def test_rule_has_severity_summary_and_runbook_section(name: str) -> None:
    rule = RULES[name]
    assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == name.lower()
    assert f"\n## {name}\n" in (ROOT / page).read_text(encoding="utf-8")


def test_every_runbook_section_belongs_to_an_alert() -> None:
    sections = re.findall(
        r"^## (\w+)$",
        (ROOT / "docs" / "operations" / "runbook.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert sections == list(RULES)


def alternatives(label: str) -> set[str]:
    """Return all values that any rule matches for a label."""
    return {
        word
        for rule in RULES.values()
        for _, matched in read(rule["expr"]).selectors
        if label in matched
        for word in re.split(r"\|(?![^(]*\))", matched[label])
    }


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("stage", {str(stage) for stage in PipelineStage}),
        ("code", CODES),
        ("outcome", {*instruments.OUTCOMES, "new", "duplicate", "malformed"}),
        ("action", {*map(str, PaymentAction), "unanswered"}),
    ],
)
def test_rule_matches_existing_label_values(label: str, words: set[str]) -> None:
    """A renamed code would silence its alert."""
    assert alternatives(label) - words == set()


def test_rule_matches_existing_routes() -> None:
    """Also for excluded routes."""
    core = trading_core.build(settings_for("sqlite:///no.db", "redis://127.0.0.1:1/0"))
    try:
        rules = {rule.rule for rule in create_app(core).url_map.iter_rules()}
    finally:
        core.close()
    named = alternatives("rule")
    assert named
    assert [word for word in named if not any(re.fullmatch(word, rule) for rule in rules)] == []


@pytest.fixture(scope="module")
def promtool() -> str:
    return require_promtool()


def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    """promtool also checks the files named in the configuration."""
    for command in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        ran = subprocess.run(
            [promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_rules_fire_when_expected(promtool: str, tmp_path: Path) -> None:
    """Runs the cases of alerts.yml in this folder with promtool."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            # Their texts contain values; the cases only compare which alerts fire.
            del rule["annotations"]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    cases = yaml.safe_load(CASES.read_text())
    for case in cases["tests"]:
        del case["name"]
        # YAML reads an unquoted 0x80 as a number.
        assert all(isinstance(series["values"], str) for series in case["input_series"])
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))

    ran = subprocess.run(
        [promtool, "test", "rules", "cases.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


@every_rule
def test_rule_has_a_firing_and_a_silent_case(name: str) -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    expected = [
        bool(check["exp_alerts"])
        for case in cases
        for check in case["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert set(expected) == {True, False}
