"""Class names in webapp: each used once, schemas end in `Schema`, views follow one pattern."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import webapp

ACTIONS = (
    "Cancel|Change|Complete|Deposit|Explain|Halt|Login|Logout|Prepare|Preview|Receive|Reconnect"
    "|Refresh|Refund|Resume|Sort|Subscribe|Unsubscribe|Withdraw"
)
VIEW_NAME = re.compile(rf"\w+(?:List|Detail|Batch)|(?:{ACTIONS})\w*")


def _classes() -> Iterator[tuple[str, set[str]]]:
    """Yield every class of webapp with the names of its bases."""
    for path in sorted(Path(webapp.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name != "Meta":
                yield node.name, {ast.unparse(base).split("[")[0] for base in node.bases}


def test_every_class_name_is_used_once() -> None:
    counts = Counter(name for name, _bases in _classes())
    assert [name for name, count in counts.items() if count > 1] == []


def test_schemas_and_only_schemas_end_in_schema() -> None:
    assert [
        name
        for name, bases in _classes()
        if name.endswith("Schema") != any(base.endswith("Schema") for base in bases)
    ] == []


def test_views_are_named_by_resource_or_action() -> None:
    views = [name for name, bases in _classes() if "MethodView" in bases]
    assert len(views) > 50
    assert [name for name in views if not VIEW_NAME.fullmatch(name)] == []
