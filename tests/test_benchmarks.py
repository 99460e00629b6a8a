"""Run each benchmark with a small size. Its figures are then meaningless.

A benchmark exits with a status other than 0 if an order is lost or the audit finds a breach.
"""

import json
import subprocess
import sys

import pytest

from launcher.plan import ROOT
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import require_mariadb

FIGURES = {
    "order_entry": ["orders_per_s", "trivial_per_s", "ratio", "p99_ms"],
    "matching": ["scan_ms_10k", "scan_ms_1m", "ratio", "idle_scan_ms", "tick_to_fill_p99_ms"],
    "pipeline": ["fills_per_s", "commits_per_s", "ratio", "statements_per_fill"],
    "relayer": ["ticks_per_s", "bare_per_s", "ratio", "p99_ms", "lost"],
    "gateway": ["clients", "p50_ms", "p99_ms", "messages_per_s", "cpu", "us_per_message",
                "rss_empty_mib", "rss_idle_mib", "rss_mib", "p99_dead_ms", "cpu_dead",
                "rss_dead_mib"],
    "reads": ["endpoints", "slowest", "p50_ms", "p95_ms", "primary_key_ms", "ratio"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("benchmark", "size"),
    [
        pytest.param(
            "order_entry",
            "--users 20 --connections 4 --rounds 1 --seconds 0.6",
            marks=pytest.mark.full,
        ),
        pytest.param(
            "matching",
            "--resting 1000 --few 200 --stocks 100 --crossed 20 --users 30 --rounds 1 --seconds 3"
            " --fills 10",
            marks=pytest.mark.full,
        ),
        pytest.param("pipeline", "--orders 80 --rounds 1", marks=pytest.mark.full),
        pytest.param("relayer", "--rounds 1 --seconds 2 --paced 2", marks=pytest.mark.full),
        pytest.param(
            "gateway",
            "--clients 20 --processes 1 --stocks 20 --ticks-per-s 100 --events-per-s 10 --seconds 2"
            " --dead 2",
            marks=pytest.mark.full,
        ),
        ("reads", "--fills 40 --holdings 5 --closed 2 --rounds 1"),
    ],
    ids=lambda value: value.partition(" ")[0] if not value.startswith("--") else "small",
)
def test_benchmark_prints_its_figures(benchmark: str, size: str) -> None:
    """The last line is one JSON object with the figures that docs/performance.md gives."""
    if benchmark not in ("relayer", "gateway"):
        require_mariadb()
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", *size.split()],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=5 * DEADLINE_S,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert list(json.loads(ended.stdout.splitlines()[-1])) == FIGURES[benchmark]
