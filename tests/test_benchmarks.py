"""The benchmarks run: small and short, as what they measure here says nothing."""

import json
import subprocess
import sys

from launcher.plan import ROOT
from tests.servers import require_mariadb


def test_order_entry_measures_orders_against_trivial_requests() -> None:
    """The last line is the result; before it every order was found again, the books were audited, and the time was taken apart."""
    require_mariadb()
    size = ["--users", "20", "--connections", "4", "--rounds", "1", "--seconds", "0.6", "--sample", "50"]

    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.order_entry", *size],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    *told, last = run.stdout.splitlines()
    result = json.loads(last)
    assert list(result) == ["orders_per_s", "trivial_per_s", "ratio", "p99_ms"]
    assert 1 < result["orders_per_s"] < result["trivial_per_s"]
    assert 0.02 < result["ratio"] < 1
    assert 0 < result["p99_ms"] < 10_000
    assert any("each of them is a row, and the audit finds nothing" in line for line in told)
    assert {"COMMIT", "INSERT INTO orders", "UPDATE virtual_balances"} <= {line[10:] for line in told}
