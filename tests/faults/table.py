"""Table of faults and recovery times, stored in test reports and printed at the end of the run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

_PROPERTY = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Result of one fault. Times are in seconds; `answers` counts by status."""

    name: str
    recovered_after_s: float
    orders: int
    answers: Mapping[str, int]
    longest_s: float
    note: str = ""

    def __str__(self) -> str:
        answers = " ".join(f"{status}×{count}" for status, count in self.answers.items())
        return (
            f"{self.name:<58} {self.recovered_after_s:6.1f} s  {self.orders:4d} orders  "
            f"longest answer {self.longest_s:4.1f} s  {answers}"
            + (f"  {self.note}" if self.note else "")
        )


def row_recorder(record_property: Callable[[str, object], None]) -> Callable[[Row], None]:
    """Return a function that stores a row in the test's report, which also works across xdist
    workers.
    """
    return lambda row: record_property(_PROPERTY, json.dumps(asdict(row)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows of all tests that ran."""
    rows = [
        Row(**json.loads(value))
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if rows:
        terminalreporter.section("Faults and recovery times")
        for row in rows:
            terminalreporter.write_line(str(row))
