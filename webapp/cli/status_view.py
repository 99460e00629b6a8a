"""Render the status of an installation, with times in KST."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trading.exchange.time import kst_text
from trading.observability.logs.lines import visible
from trading.operations.alert_rules import Severity
from webapp.cli.status_data import Facts, Section, Status

WIDTH = 116
_LEFT = ("processes", "due", "queues", "feed", "beat", "trading", "audit", "payments")
_COLOURS = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow"}


def summary(status: Status) -> list[Text]:
    """Return ``OK``, or one line for each problem with the page that says what to do."""
    if not status.problems:
        return [Text("OK", style="bold green")]
    return [
        Text.assemble(
            (f"{problem.severity.upper()} {problem.name}: ", _COLOURS[problem.severity]),
            visible(problem.text),
            (f" {problem.page}", "dim"),
        )
        for problem in status.problems
    ]


def screen(status: Status) -> RenderableType:
    """Return the screen below the summary: the sections in two columns."""
    title = Text.assemble(("StocKing", "bold"), f" at {kst_text(status.at)}")
    columns = Table.grid(padding=(0, 3), expand=True)
    columns.add_column(ratio=1)
    columns.add_column(ratio=1)
    left = [_section(name, status.sections[name]) for name in _LEFT]
    right = [
        _section(name, section) for name, section in status.sections.items() if name not in _LEFT
    ]
    columns.add_row(Group(*left), Group(*right))
    return Group(title, Text(), columns)


def _section(name: str, section: Section) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if section.missing is not None:
        return Group(Text(name, style="bold"), Text(f"  {section.missing}", style="red"), Text())
    for row in _ROWS.get(name, _plain)(section.facts):
        table.add_row(
            *(
                Text(f"  {cell}" if not number else cell)
                for number, cell in enumerate(map(_format, row))
            )
        )
    return Group(Text(name, style="bold"), table, Text())


def _format(value: Any) -> str:
    """Format a fact. Control characters are escaped: some facts come from Redis, Toss or
    administrators.
    """
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return kst_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_format, value)) or "–"
    return visible(str(value))


Row = tuple[Any, ...]


def _plain(facts: Facts) -> list[Row]:
    return [(name.replace("_", " "), value) for name, value in facts.items()]


def _counts(facts: Facts) -> list[Row]:
    return [
        (table, f"{'about ' if count['estimated'] else ''}{count['rows']:,}")
        for table, count in facts.items()
    ]


def _due(facts: Facts) -> list[Row]:
    return [
        (
            stage,
            due["count"],
            "" if due["oldest_age_s"] is None else f"the oldest for {due['oldest_age_s']:,} s",
        )
        for stage, due in facts.items()
    ]


def _processes(facts: Facts) -> list[Row]:
    return [
        (one["kind"], f"{one['host']}:{one['pid']}", one["started_at"]) for one in facts["running"]
    ] or [("none",)]


def _migrations(facts: Facts) -> list[Row]:
    pending = ", ".join(facts["pending"]) or "none"
    return [
        ("current", facts["current"]),
        ("head", facts["head"]),
        ("pending", "unknown" if facts["unknown"] else pending),
    ]


_ROWS: Mapping[str, Callable[[Facts], list[Row]]] = {
    "rows": _counts,
    "due": _due,
    "processes": _processes,
    "migrations": _migrations,
}
