"""Replay of real minute bars at 60 times their speed: every fill is within the replayed bar."""

import csv
from datetime import datetime
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.system.stack import breaches, running_stack
from trading.exchange.time import KST

REAL_BARS = ROOT.parent / "shared" / "data" / "samsung_minute_2026-01-15.csv"
TRADES = 10


def _bars(path: Path) -> dict[datetime, tuple[int, int]]:
    """Return the low and high of each bar by its time."""
    with path.open(newline="") as lines:
        return {
            datetime.fromisoformat(row["datetime"]).replace(tzinfo=KST): (
                int(row["low"]),
                int(row["high"]),
            )
            for row in csv.DictReader(lines)
        }


@pytest.mark.skipif(
    not REAL_BARS.exists(), reason="the real minute bars are not part of the project"
)
def test_fills_are_within_the_replayed_bar(migrated_sqlite: str, tmp_path: Path) -> None:
    """Ten buys and ten sales on the embedded SQLite database."""
    bars = _bars(REAL_BARS)
    arguments = ("--replay", str(REAL_BARS), "--speed", "60")
    with running_stack(migrated_sqlite, tmp_path, sandbox_arguments=arguments) as (stack, harness):
        trader = stack.trader("replayed")
        executions = []
        for _ in range(TRADES):
            for side, quantity in (("BUY", 2), ("SELL", 1)):
                answer = trader.order(side, quantity)
                assert answer.status_code == 201, answer.text
                executions += trader.wait_until_applied(answer.json()["data"]["id"])["executions"]

        assert len(executions) == 2 * TRADES
        for execution in executions:
            low, high = bars[datetime.fromisoformat(execution["tick_traded_at"])]
            assert low <= execution["price"] <= high, execution
        assert trader.get("/portfolio/A005930")["quantity"] == TRADES
        assert breaches(harness) == []
