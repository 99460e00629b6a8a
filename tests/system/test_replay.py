"""Real minute bars played back at sixty times their speed: every fill lies inside the bar that was being played."""

import csv
from datetime import datetime
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.system.stack import breaches, lived_in
from trading.exchange.time import KST

REAL_BARS = ROOT.parent / "shared" / "data" / "samsung_minute_2026-01-15.csv"
TRADES = 10


def _bars(path: Path) -> dict[datetime, tuple[int, int]]:
    """Low and high of each bar by its stamp."""
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
def test_fills_lie_inside_the_real_bar_that_was_played(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    """Ten buys and ten sales during a replay of a real day, on the embedded default database."""
    bars = _bars(REAL_BARS)
    arguments = ("--replay", str(REAL_BARS), "--speed", "60")
    with lived_in(migrated_sqlite, tmp_path, sandbox_arguments=arguments) as (house, harness):
        trader = house.trader("replayed")
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
