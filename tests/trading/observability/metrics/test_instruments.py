"""Recording metrics adds what it is given, and never fails its caller."""

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
    before = instruments.COUNTED.get_sample_value(sample, labels) or 0

    instruments.record(instrument, *labels.values(), value=3)

    assert instruments.COUNTED.get_sample_value(sample, labels) == before + 3


def test_every_counted_family_is_one_that_is_declared() -> None:
    """With its own labels and its own words: what is told is what the documentation lists."""
    declared = {family.name.removesuffix("_total"): family for family in FAMILIES}

    for metric in instruments.COUNTED.collect():
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
        instruments.COUNTED.get_sample_value("stocking_problems_total", {"code": "unseen-code"})
        == 0
    )
    assert (
        instruments.COUNTED.get_sample_value(
            "stocking_beat_messages_total", {"task": "unseen-message"}
        )
        == 0
    )
    assert (
        instruments.COUNTED.get_sample_value(
            "stocking_task_dispatch_failures_total", {"task": "unseen-task"}
        )
        == 0
    )
    for outcome in instruments.OUTCOMES:
        labels = {"task": "unseen-task", "outcome": outcome}
        assert instruments.COUNTED.get_sample_value("stocking_tasks_total", labels) == 0


def run(program: str) -> str:
    """What a fresh process prints; it must end well."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_nothing_is_counted_by_importing() -> None:
    """Else those values would be each process's own, whatever is decided about sharing afterwards."""
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


def test_counting_fails_nobody_and_says_so_once() -> None:
    """The folder of the files is taken away: who counts goes on, and the log is not flooded."""
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
    told = run(program)

    assert told.count("metrics_update_failed") == 1
    assert told.endswith("went on\n")
