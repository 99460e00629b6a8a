"""Counting: each call raises what it says, by few words, and none ever fails its caller."""

import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

from launcher.plan import ROOT
from trading.metrics import counting
from trading.metrics.families import FAMILIES

CALLS: list[tuple[Callable[[], None], str, dict[str, str], float]] = [
    (
        lambda: counting.request_began("GET"),
        "stocking_http_requests_in_flight",
        {"method": "GET"},
        1,
    ),
    (
        lambda: counting.request_ended("GET"),
        "stocking_http_requests_in_flight",
        {"method": "GET"},
        -1,
    ),
    (
        lambda: counting.request_began("BREW"),
        "stocking_http_requests_in_flight",
        {"method": "other"},
        1,
    ),
    (
        lambda: counting.request_answered("GET", "/a/<b>", 200, seconds=0.3),
        "stocking_http_request_duration_seconds_sum",
        {"method": "GET", "rule": "/a/<b>", "status": "200"},
        0.3,
    ),
    (
        lambda: counting.request_answered("BREW", None, 404, seconds=0.3),
        "stocking_http_request_duration_seconds_count",
        {"method": "other", "rule": "none", "status": "404"},
        1,
    ),
    (
        lambda: counting.problem_answered("forbidden"),
        "stocking_problems_total",
        {"code": "forbidden"},
        1,
    ),
    (
        lambda: counting.order_accepted("BUY", "MARKET"),
        "stocking_orders_accepted_total",
        {"side": "BUY", "order_type": "MARKET"},
        1,
    ),
    (
        lambda: counting.orders_ended("EXPIRED", "day-ended", 7),
        "stocking_orders_ended_total",
        {"status": "EXPIRED", "reason": "day-ended"},
        7,
    ),
    (
        lambda: counting.fills_recorded({("SELL", "last-trade"): 3}),
        "stocking_fills_total",
        {"side": "SELL", "rule": "last-trade"},
        3,
    ),
    (
        lambda: counting.executions_booked("settle", 5),
        "stocking_executions_booked_total",
        {"stage": "settle"},
        5,
    ),
    (
        lambda: counting.payment_looked_at("credit"),
        "stocking_payment_looks_total",
        {"action": "credit"},
        1,
    ),
    (
        lambda: counting.payment_looked_at(None),
        "stocking_payment_looks_total",
        {"action": "unanswered"},
        1,
    ),
    (
        lambda: counting.refund_finished("FAILED"),
        "stocking_refunds_finished_total",
        {"status": "FAILED"},
        1,
    ),
    (lambda: counting.task_began("t"), "stocking_tasks_running", {"task": "t"}, 1),
    (
        lambda: counting.task_ended("t", "done", seconds=2),
        "stocking_tasks_total",
        {"task": "t", "outcome": "done"},
        1,
    ),
    (
        lambda: counting.task_ended("t", None, seconds=2),
        "stocking_tasks_running",
        {"task": "t"},
        -1,
    ),
    (
        lambda: counting.task_was_ended("t", "lost"),
        "stocking_tasks_total",
        {"task": "t", "outcome": "lost"},
        1,
    ),
    (lambda: counting.wakeups_lost("t", 4), "stocking_wakeups_lost_total", {"task": "t"}, 4),
    (
        lambda: counting.sweep_found("execute", 2),
        "stocking_sweep_found_total",
        {"stage": "execute"},
        2,
    ),
    (
        lambda: counting.transaction_retried("deadlock"),
        "stocking_transactions_retried_total",
        {"reason": "deadlock"},
        1,
    ),
    (
        lambda: counting.ticks_read("r", 9, gap=False),
        "stocking_ticks_read_total",
        {"reader": "r"},
        9,
    ),
    (lambda: counting.ticks_read("r", 0, gap=True), "stocking_tick_gaps_total", {"reader": "r"}, 1),
    (lambda: counting.beat_message_sent("t"), "stocking_beat_messages_total", {"task": "t"}, 1),
]


@pytest.mark.parametrize(
    ("call", "sample", "labels", "rise"), CALLS, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_call_raises_its_own_sample(
    call: Callable[[], None], sample: str, labels: dict[str, str], rise: float
) -> None:
    """By as much as it was told, under the labels that the family declares."""
    before = counting.COUNTED.get_sample_value(sample, labels) or 0

    call()

    assert counting.COUNTED.get_sample_value(sample, labels) == pytest.approx(before + rise)


def test_every_counted_family_is_one_that_is_declared() -> None:
    """With its own labels and its own words: what is told is what the documentation lists."""
    declared = {family.name.removesuffix("_total"): family for family in FAMILIES}

    for metric in counting.COUNTED.collect():
        family = declared[metric.name]
        assert (metric.type, metric.documentation) == (family.kind, family.help)
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def test_what_begins_with_zero_is_told_before_it_happens() -> None:
    """Prometheus takes the first value of a series for its beginning: a first failure would be none."""
    counting.begin_with_zero(codes=["a-code"], tasks=["a-task"], sent=["a-message"])

    assert counting.COUNTED.get_sample_value("stocking_problems_total", {"code": "a-code"}) == 0
    assert (
        counting.COUNTED.get_sample_value("stocking_beat_messages_total", {"task": "a-message"})
        == 0
    )
    assert counting.COUNTED.get_sample_value("stocking_wakeups_lost_total", {"task": "a-task"}) == 0
    for outcome in counting.OUTCOMES:
        labels = {"task": "a-task", "outcome": outcome}
        assert counting.COUNTED.get_sample_value("stocking_tasks_total", labels) == 0


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
        from trading.metrics import counting
        counting.problem_answered("too-early")
    """
    assert "metrics_not_counted" in run(program)


def test_counting_fails_nobody_and_says_so_once() -> None:
    """The folder of the files is taken away: who counts goes on, and the log is not flooded."""
    program = """
        import os, shutil
        from trading.metrics import counting, sharing

        sharing.make_folder()
        sharing.share(lambda: 0)
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for _ in range(3):
            counting.problem_answered("a-code")
        counting.task_began("a-task")
        print("went on")
    """
    told = run(program)

    assert told.count("metrics_not_counted") == 2
    assert "problem_answered" in told
    assert told.endswith("went on\n")
