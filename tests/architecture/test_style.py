"""Style rules that no linter checks."""

import ast
import re
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.source import EXCLUDED_FOLDERS, python_files, strings, tree

FORBIDDEN_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
)
MONEY_PACKAGES = (
    "trading/db",
    "trading/exchange",
    "trading/ledger",
    "trading/orders",
    "trading/accounts",
    "trading/audit",
    "trading/watchlists",
    "trading/halts",
    "trading/portfolio/tables.py",
)
# The last one writes a variable that the metrics library reads.
MAY_READ_THE_ENVIRONMENT = (
    "trading/config/",
    "launcher/",
    "benchmarks/",
    "deploy/gunicorn.conf.py",
    "trading/observability/metrics/multiprocess.py",
)
REDIS_NAME = re.compile(
    r"toss_ws_relayer:|toss_rest:|stock:realtime:|stock:ticks|stock_updates:|sign_in:"
)
LONGEST_FILE = 500
LONGEST_FUNCTION = 75


def test_only_the_transaction_runner_commits() -> None:
    """A use case that commits splits its transaction, and tasks could be sent too early.

    Alembic's environment is excluded: it ends the transaction in which it set a session's limit.
    """
    found = [
        f"{path}:{node.lineno}"
        for path in python_files()
        if not path.is_relative_to("trading/db") and path != Path("migrations/env.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "commit"
    ]
    assert found == []


def test_money_packages_use_no_float() -> None:
    """Won and shares are integers; a float would lose won of large amounts."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files(*MONEY_PACKAGES)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
    ]
    assert found == []


def test_no_file_has_a_catch_all_name() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if not EXCLUDED_FOLDERS & set(path.relative_to(ROOT).parts)
        and path.stem.lower() in FORBIDDEN_NAMES
    ]
    assert found == []


def test_redis_names_are_in_one_module() -> None:
    found = [
        f"{path}:{line}: {text}"
        for path in python_files()
        if path != Path("trading/redis/keys.py")
        for line, text in strings(path)
        if REDIS_NAME.search(text)
    ]
    assert found == []


def test_environment_is_read_in_one_place() -> None:
    """Settings are checked together at the start, not at the first request."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files()
        if not str(path).startswith(MAY_READ_THE_ENVIRONMENT)
        for node in ast.walk(tree(path))
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv", "environb"}
            and ast.unparse(node) != "request.environ"  # the server's data of one request
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {"environ", "getenv"} & {a.name for a in node.names}
        )
    ]
    assert found == []


@pytest.mark.parametrize("places", [(), ("tests",)], ids=["product", "tests"])
def test_files_and_functions_are_short(places: tuple[str, ...]) -> None:
    found = []
    for path in python_files(*places):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            found.append(f"{path}: {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION and "migrations/versions" not in str(path):
                    found.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
    assert found == []


def test_foreign_keys_state_their_type() -> None:
    """Else the type comes from the referenced table, which may not be imported yet."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files("trading")
        if path.name.endswith("tables.py") or path.name.endswith("_table.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "mapped_column"
        and node.args
        and isinstance(node.args[0], ast.Call)
        and getattr(node.args[0].func, "id", "") == "ForeignKey"
    ]
    assert found == []
