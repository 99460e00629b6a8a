"""Replay of real minute bars at 60 times their speed: every fill is within the replayed bar."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.system.stack import breaches, running_stack

REAL_BARS = ROOT.parent / "shared" / "data" / "samsung_minute_2026-01-15.csv"
TRADES = 10


def _bars(log: str) -> list[tuple[datetime, int, int]]:
    """Return the time of the first print, the low and the high of each bar in the sandbox's log."""
    found = re.findall(r"^replay \S+ bar .* low (\d+) high (\d+) from (\S+)$", log, re.MULTILINE)
    return [(datetime.fromisoformat(begins), int(low), int(high)) for low, high, begins in found]


def _bars_at(
    bars: Sequence[tuple[datetime, int, int]], traded_at: datetime
) -> list[tuple[int, int]]:
    """Return the low and high of the bars that were played in the second of `traded_at`."""
    end = traded_at + timedelta(seconds=1)
    ends = [begins for begins, _low, _high in bars[1:]] + [datetime.max.replace(tzinfo=UTC)]
    return [
        (low, high)
        for (begins, low, high), bar_end in zip(bars, ends, strict=True)
        if begins < end and bar_end >= traded_at
    ]


@pytest.mark.skipif(
    not REAL_BARS.exists(), reason="the real minute bars are not part of the project"
)
def test_fills_are_within_the_replayed_bar(migrated_sqlite: str, tmp_path: Path) -> None:
    """Ten buys and ten sales on the embedded SQLite database."""
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
        bars = _bars(stack.log("sandbox"))
        for execution in executions:
            ranges = _bars_at(bars, datetime.fromisoformat(execution["tick_traded_at"]))
            assert any(low <= execution["price"] <= high for low, high in ranges), execution
        assert trader.get("/portfolio/A005930")["quantity"] == TRADES
        assert breaches(harness) == []
