"""docs/operations/logs.md lists exactly the events that the code logs, and event names are
constant.
"""

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
# Files that log an event passed by their callers, which are checked instead.
PASSING_ON = frozenset(
    {Path("trading/observability/logs/ids.py"), Path("webapp/http/log_throttling.py")}
)
# Written by the launcher's supervisor, which does not use structlog.
SUPERVISOR_EVENT = "supervisor_message"


def logged(path: Path) -> Iterator[ast.expr]:
    """Yield the event argument of each log call and of each failure declared with its event."""
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
            case ast.Call(func=ast.Name(id="note") | ast.Attribute(attr="warn"), args=[event, *_]):
                yield event
            case ast.Call(
                func=ast.Name(id="log_with_ids"), args=[_, ast.Attribute(attr="event"), *_]
            ):
                pass  # Declared with a failure.
            case ast.Call(func=ast.Name(id="log_with_ids" | "_Failure"), args=[_, event, *_]):
                yield event


def names(event: ast.expr) -> list[str]:
    """Return the names that an expression may evaluate to; empty if they are not constant."""
    match event:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp(body=one, orelse=other):
            return [*names(one), *names(other)]
    return []


def test_event_names_are_constant() -> None:
    """So that they can be searched, counted and alerted on; variable data goes into fields."""
    found = [
        f"{path}:{event.lineno}"
        for path in python_files(*PACKAGES)
        if path not in PASSING_ON
        for event in logged(path)
        if not names(event) or not all(map(EVENT.fullmatch, names(event)))
    ]
    assert found == []


def test_page_lists_exactly_the_logged_events() -> None:
    listed = [
        name
        for line in PAGE.partition("## Events")[2].splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    in_code = {
        name for path in python_files(*PACKAGES) for event in logged(path) for name in names(event)
    }

    assert len(listed) == len(set(listed))
    assert set(listed) == in_code | {SUPERVISOR_EVENT}
