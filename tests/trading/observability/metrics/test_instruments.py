"""Recording metrics adds the value and never raises."""

import subprocess
import sys
import textwrap

import pytest
from prometheus_client import Counter, Gauge, Histogram

from launcher.plan import ROOT
from trading.observability.metrics import instruments
from trading.observability.metrics.families import FAMILIES


@pytest.mark.parametrize(
    ("instrument", "labels", "sample"),
    [
        (instruments.PROBLEMS, {"code": "a-code"}, "stocking_problems_total"),
        (instruments.TASKS_RUNNING, {"task": "a-task"}, "stocking_tasks_running"),
        (
            instruments.TASK_DURATION,
            {"task": "a-task", "outcome": "done"},
            "stocking_task_duration_seconds_sum",
        ),
    ],
)
def test_recording_adds_the_value(
    instrument: Counter | Gauge | Histogram, labels: dict[str, str], sample: str
) -> None:
    before = instruments.REGISTRY.get_sample_value(sample, labels) or 0

    instruments.record(instrument, *labels.values(), value=3)

    assert instruments.REGISTRY.get_sample_value(sample, labels) == before + 3


def test_every_instrument_matches_its_family() -> None:
    declared = {family.name.removesuffix("_total"): family for family in FAMILIES}

    for metric in instruments.REGISTRY.collect():
        family = declared[metric.name]
        assert (metric.type, metric.documentation) == (family.kind, family.help)
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def test_known_series_start_at_zero() -> None:
    """Export zeros first: Prometheus shows no increase for the first value of a series."""
    instruments.initialise_series(
        codes=["unseen-code"], tasks=["unseen-task"], sent=["unseen-message"]
    )

    assert (
        instruments.REGISTRY.get_sample_value("stocking_problems_total", {"code": "unseen-code"})
        == 0
    )
    assert (
        instruments.REGISTRY.get_sample_value(
            "stocking_beat_messages_total", {"task": "unseen-message"}
        )
        == 0
    )
    assert (
        instruments.REGISTRY.get_sample_value(
            "stocking_task_dispatch_failures_total", {"task": "unseen-task"}
        )
        == 0
    )
    for outcome in instruments.OUTCOMES:
        labels = {"task": "unseen-task", "outcome": outcome}
        assert instruments.REGISTRY.get_sample_value("stocking_tasks_total", labels) == 0


def run(program: str) -> str:
    """Run a program in a new process and return its output."""
    completed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_importing_creates_no_values() -> None:
    """Values created on import would not be shared between processes."""
    program = """
        from prometheus_client import values

        class Forbidden:
            def __init__(self, *arguments, **options):
                raise AssertionError(arguments)

        values.ValueClass = Forbidden
        from trading.observability.metrics import instruments
        instruments.record(instruments.PROBLEMS, "too-early")
    """
    assert "metrics_update_failed" in run(program)


def test_failure_to_record_is_logged_once() -> None:
    """With the folder of the files removed."""
    program = """
        import os, shutil
        from trading.observability.metrics import instruments, multiprocess

        multiprocess.create_folder()
        multiprocess.enable(lambda: 0)
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for _ in range(3):
            instruments.record(instruments.PROBLEMS, "a-code")
        print("went on")
    """
    output = run(program)

    assert output.count("metrics_update_failed") == 1
    assert output.endswith("went on\n")
