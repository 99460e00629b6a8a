"""The table of what was done to the system and how it recovered: kept with each test's report, and printed when all are through."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytest

_PROPERTY = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. Times are seconds; ``answers`` counts the crowd's by status."""

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


def teller(record_property: Callable[[str, object], None]) -> Callable[[Row], None]:
    """Keeps rows with the running test's report, which comes through from whichever process runs it."""
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
        terminalreporter.section("What was done to the system, and how long it took to recover")
        for row in rows:
            terminalreporter.write_line(str(row))
