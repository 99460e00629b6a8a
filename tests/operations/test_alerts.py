"""deploy/monitoring/alerts.yml: every rule can be read, asks for what is told, fires when it should, and leads to a section of the runbook."""

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
from trading.operations.system_status import Stage
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
def test_a_rule_asks_for_what_is_told(name: str) -> None:
    """A series or a label that nobody tells is an alert that never fires, and nobody notices."""
    assert faults_of(RULES[name]["expr"]) == []


@every_rule
def test_a_rule_says_how_bad_it_is_what_is_wrong_and_what_to_do(name: str) -> None:
    """In one of two words, in a sentence, and by a section of the runbook that is there."""
    rule = RULES[name]
    assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "runbook"}
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor == name.lower()
    assert f"\n## {name}\n" in (ROOT / page).read_text(encoding="utf-8")


def test_the_runbook_has_no_section_for_what_is_no_alert() -> None:
    """Nobody would ever read it."""
    sections = re.findall(
        r"^## (\w+)$",
        (ROOT / "docs" / "operations" / "runbook.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert sections == list(RULES)


def alternatives(label: str) -> set[str]:
    """Every word that some rule wants a label to match, or not to match."""
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
        ("stage", {str(stage) for stage in Stage}),
        ("code", CODES),
        ("outcome", {*instruments.OUTCOMES, "new", "duplicate", "malformed"}),
        ("action", {*map(str, PaymentAction), "unanswered"}),
    ],
)
def test_a_rule_names_words_that_exist(label: str, words: set[str]) -> None:
    """A code that was renamed would leave its alert behind, silent."""
    assert alternatives(label) - words == set()


def test_a_rule_names_addresses_that_exist() -> None:
    """Those that are left out of a figure, too: else they would be in it one day."""
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


def test_prometheus_itself_reads_rules_and_configuration(promtool: str) -> None:
    """By its own program; of a configuration it checks also the files that it names."""
    for command in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        ran = subprocess.run(
            [promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_every_rule_fires_when_it_should_and_not_before(promtool: str, tmp_path: Path) -> None:
    """The cases of alerts.yml beside this file, in the time that Prometheus makes up for them."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            # Their sentences hold figures; which alerts there are is what is tested.
            del rule["annotations"]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    cases = yaml.safe_load(CASES.read_text())
    for case in cases["tests"]:
        del case["name"]
        # Without its quotation marks 0x80 is a number to YAML.
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
def test_a_rule_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(name: str) -> None:
    """What was never seen to fire may not be able to."""
    cases = yaml.safe_load(CASES.read_text())["tests"]
    expected = [
        bool(check["exp_alerts"])
        for case in cases
        for check in case["alert_rule_test"]
        if check["alertname"] == name
    ]
    assert set(expected) == {True, False}
