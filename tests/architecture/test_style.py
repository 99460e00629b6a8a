"""Style rules that no linter knows, each with its reason."""

import ast
import re
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.source import NOT_OURS, python_files, strings, tree

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
# The last one writes a variable that the metrics' library reads.
MAY_READ_THE_ENVIRONMENT = (
    "trading/config/settings.py",
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
    """A use case that commits splits what must stand or fall together, and a wake-up after it could be sent too early.

    Alembic's environment is no use case: it ends the transaction in which it set a limit of its session.
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


def test_no_float_comes_near_money() -> None:
    """Won and shares are whole numbers; a float in between loses some of them silently, and only for large accounts."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files(*MONEY_PACKAGES)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
    ]
    assert found == []


def test_every_file_is_named_by_what_it_does() -> None:
    """A file called 'utils' attracts everything and promises nothing."""
    found = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if not NOT_OURS & set(path.relative_to(ROOT).parts) and path.stem.lower() in FORBIDDEN_NAMES
    ]
    assert found == []


def test_names_in_redis_live_in_one_file() -> None:
    """Two processes that spell a key in two places agree until one of them changes."""
    found = [
        f"{path}:{line}: {text}"
        for path in python_files()
        if path != Path("trading/redis/keys.py")
        for line, text in strings(path)
        if REDIS_NAME.search(text)
    ]
    assert found == []


def test_the_environment_is_read_in_one_place() -> None:
    """Settings are checked together at the start; a stray variable read later fails at the first request instead."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files()
        if not str(path).startswith(MAY_READ_THE_ENVIRONMENT)
        for node in ast.walk(tree(path))
        if (
            isinstance(node, ast.Attribute)
            and node.attr in {"environ", "getenv", "environb"}
            and ast.unparse(node)
            != "request.environ"  # The server's word on one request, not the process's environment.
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {"environ", "getenv"} & {a.name for a in node.names}
        )
    ]
    assert found == []


@pytest.mark.parametrize("places", [(), ("tests",)], ids=["product", "tests"])
def test_files_and_functions_fit_a_reader(places: tuple[str, ...]) -> None:
    """What does not fit one sitting is not read whole, and what is not read whole is changed wrongly."""
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


def test_a_foreign_key_states_its_type() -> None:
    """Without one the type comes from the table referred to, which may not be imported yet."""
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
