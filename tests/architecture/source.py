"""The project's own Python files, for tests that read them instead of running them."""

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
NOT_OURS = frozenset(
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
    """The Python files below these places (the whole product without its tests when none is named), relative to the root."""
    for place in places or (*PACKAGES, "*.py"):
        for path in sorted(ROOT.glob(place)):
            yield from (
                p.relative_to(ROOT)
                for p in ([path] if path.is_file() else sorted(path.rglob("*.py")))
            )


def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports anywhere, with the line. ``from a import b`` counts as ``a.b``, which it may be."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Every string literal of a file with its line, docstrings left out: a name in prose is no use of it."""
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
