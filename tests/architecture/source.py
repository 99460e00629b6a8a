"""The project's Python files as syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

from launcher.plan import ROOT

PACKAGES = (
    "trading",
    "webapp",
    "workers",
    "relayer",
    "push_gateway",
    "sandbox",
    "launcher",
    "benchmarks",
    "migrations",
)
EXCLUDED_FOLDERS = frozenset(
    {
        ".venv",
        ".git",
        "var",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
    }
)


def python_files(*places: str) -> Iterator[Path]:
    """Yield the Python files below these places, relative to the root; by default the whole
    product.
    """
    for place in places or (*PACKAGES, "*.py"):
        for path in sorted(ROOT.glob(place)):
            yield from (
                p.relative_to(ROOT)
                for p in ([path] if path.is_file() else sorted(path.rglob("*.py")))
            )


def tree(path: Path) -> ast.Module:
    """Return the file's syntax tree."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every imported module with the line; ``from a import b`` counts as ``a.b``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every string literal of a file with its line, except docstrings."""
    module = tree(path)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value
