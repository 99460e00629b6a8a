"""Class names: used once in the product; schemas, mapped classes and views follow patterns."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("trading", "webapp", "workers", "relayer", "push_gateway", "launcher", "sandbox")
ACTIONS = (
    "Cancel|Change|Complete|Delist|Deposit|Explain|Halt|Liquidate|Login|Logout|Prepare|Preview"
    "|Receive|Reconnect|Refresh|Refund|Resume|Set|Sort|Subscribe|Unsubscribe|Withdraw|WriteOff"
)
VIEW_NAME = re.compile(rf"\w+(?:List|Detail|Batch)|(?:{ACTIONS})\w*")


def _classes(*packages: str) -> Iterator[tuple[str, set[str]]]:
    """Yield every class of the packages with the names of its bases."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield node.name, {ast.unparse(base).split("[")[0] for base in node.bases}


def test_every_public_class_name_is_used_once() -> None:
    """Private classes (``_Cursor``) may share a name: they are used in their module only."""
    counts = Counter(name for name, _bases in _classes(*PACKAGES) if not name.startswith("_"))
    assert len(counts) > 500
    assert {name for name, count in counts.items() if count > 1} == set()


def test_mapped_classes_end_in_row() -> None:
    mapped = [name for name, bases in _classes("trading") if "Base" in bases]
    assert len(mapped) > 25
    assert [name for name in mapped if not name.endswith("Row")] == []


def test_schemas_and_only_schemas_end_in_schema() -> None:
    assert [
        name
        for name, bases in _classes("webapp")
        if name.endswith("Schema") != any(base.endswith("Schema") for base in bases)
    ] == []


def test_views_are_named_by_resource_or_action() -> None:
    views = [name for name, bases in _classes("webapp") if "MethodView" in bases]
    assert len(views) > 50
    assert [name for name in views if not VIEW_NAME.fullmatch(name)] == []
