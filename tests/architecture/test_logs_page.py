"""docs/operations/logs.md against the code: its events are those that the code logs, and their names are constant."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from launcher.plan import ROOT
from tests.architecture.source import python_files, tree

PAGE = (ROOT / "docs" / "operations" / "logs.md").read_text(encoding="utf-8")
EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PACKAGES = ("trading", "webapp", "workers", "relayer", "push_gateway")
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
# Places that are given an event, by everybody who calls them with a constant.
PASSED_ON = frozenset(
    {Path("trading/observability/logs/ids.py"), Path("webapp/http/log_throttling.py")}
)
# Written by the launcher's supervisor, which does not use structlog.
OF_THE_SUPERVISOR = "supervisor_message"


def logged(path: Path) -> Iterator[ast.expr]:
    """What a file gives as the event to its logger, to ``note``, which is one of the logger's methods, and to ``tell``."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=attr), args=[event, *_]
            ) if attr in LEVELS:
                yield event
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Call(func=ast.Attribute(attr="get_logger")), attr=attr
                ),
                args=[event, *_],
            ) if attr in LEVELS:
                yield event
            case ast.Call(func=ast.Name(id="note") | ast.Attribute(attr="tell"), args=[event, *_]):
                yield event
            case ast.Call(func=ast.Name(id="log_with_ids"), args=[_, event, *_]):
                yield event


def names(event: ast.expr) -> list[str]:
    """The names that an expression may give; none where they are not constant."""
    match event:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp(body=one, orelse=other):
            return [*names(one), *names(other)]
    return []


def test_an_events_name_is_constant() -> None:
    """Only so it can be looked for, counted and alarmed at; what changes goes into fields."""
    found = [
        f"{path}:{event.lineno}"
        for path in python_files(*PACKAGES)
        if path not in PASSED_ON
        for event in logged(path)
        if not names(event) or not all(map(EVENT.fullmatch, names(event)))
    ]
    assert found == []


def test_the_page_tells_every_event_and_no_other() -> None:
    """An operator who meets an event finds what it means and whether to get up for it."""
    told = [
        name
        for line in PAGE.partition("## Events")[2].splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    in_code = {
        name for path in python_files(*PACKAGES) for event in logged(path) for name in names(event)
    }

    assert len(told) == len(set(told))
    assert set(told) == in_code | {OF_THE_SUPERVISOR}
