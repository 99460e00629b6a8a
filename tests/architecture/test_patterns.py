"""Regular expressions of the product take linear time on any input."""

import ast
import itertools
import random
import re
import time
from collections.abc import Iterator

import pytest

from launcher.plan import ROOT
from tests.architecture.source import python_files, tree

MOST_S = 0.5
LENGTH = 4_000
CALLS = {"compile", "match", "fullmatch", "search", "findall", "finditer", "sub", "split"}
_MAY_HAVE_ONE = re.compile(r"\bre\.\w+\(|\bRegexp\(")
SCANNED_PACKAGES = ("trading", "webapp", "workers", "relayer", "launcher", "sandbox")


def constant(node: ast.AST) -> str | None:
    """Return the text of a literal, with a letter for each placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(each.value) if isinstance(each, ast.Constant) else "a" for each in node.values
        )
    return None


def patterns() -> Iterator[tuple[str, str]]:
    """Yield the place and text of every pattern in the product."""
    for path in python_files(*SCANNED_PACKAGES):
        # Parsing every file would take a second in each test process.
        if not _MAY_HAVE_ONE.search((ROOT / path).read_text(encoding="utf-8")):
            continue
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func
            of_module = (
                isinstance(function, ast.Attribute)
                and getattr(function.value, "id", "") == "re"
                and function.attr in CALLS
            )
            of_schema = isinstance(function, ast.Attribute) and function.attr == "Regexp"
            if (of_module or of_schema) and (text := constant(node.args[0])) is not None:
                yield f"{path}:{node.lineno}", text


PATTERNS = sorted(set(patterns()))


def hostile(pattern: str) -> list[str]:
    """Return long strings that nearly match.

    Runs of every character of the pattern, alone and mixed, with an end that prevents a match.
    """
    random.seed(3)
    letters = sorted({each for each in pattern if each.isprintable()} | set("aA0 -_.,@/'\\\t\n가é"))
    texts = [letter * LENGTH for letter in letters]
    texts += ["".join(random.choices(letters, k=LENGTH)) for _ in range(5)]
    texts += [(one + other) * (LENGTH // 2) for one, other in itertools.pairwise(letters)]
    return [text + end for text in texts for end in ("", "!", "\x00")]


def test_all_patterns_are_found() -> None:
    assert len(PATTERNS) > 30
    assert any("webapp/http/fields.py" in where for where, _ in PATTERNS)


@pytest.mark.parametrize(("where", "pattern"), PATTERNS, ids=[where for where, _ in PATTERNS])
def test_pattern_takes_linear_time(where: str, pattern: str) -> None:
    """The limit is far below the time of a backtracking pattern."""
    compiled = re.compile(pattern)
    for text in hostile(pattern):
        began = time.thread_time()
        compiled.fullmatch(text)
        compiled.match(text)
        compiled.search(text)
        assert time.thread_time() - began < MOST_S, repr(text[:20])
