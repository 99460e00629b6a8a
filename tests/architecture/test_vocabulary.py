"""Names use the terms of docs/glossary.md: none contains a figurative or archaic word."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import python_files, tree
from tests.architecture.test_logs_page import logged, names

# Each word has a standard term instead: for "look" it is check, scan, probe or run, for "tell"
# publish, log, report or record. A sequence of words is joined by underscores.
DENIED = frozenset(
    [
        "amid",
        "anew",
        "courier",
        "couriers",
        "crowd",
        "crowds",
        "dead_man",
        "desk",
        "desks",
        "fate",
        "fates",
        "floor",
        "floors",
        "give_leave",
        "he",
        "heed",
        "heeded",
        "heeds",
        "her",
        "him",
        "himself",
        "his",
        "hole",
        "holes",
        "house",
        "houses",
        "keeper",
        "keepers",
        "landed",
        "lands",
        "leash",
        "leashed",
        "leashes",
        "leave_taken",
        "lived_in",
        "look",
        "looked",
        "looking",
        "looks",
        "means",
        "mend",
        "mended",
        "mends",
        "mending",
        "nought",
        "ordeal",
        "ordeals",
        "ours",
        "pursue",
        "pursued",
        "pursues",
        "pursuit",
        "pursuits",
        "retell",
        "retold",
        "room",
        "rooms",
        "she",
        "sign_of_life",
        "speak",
        "speaks",
        "spoken",
        "stand",
        "standing",
        "stands",
        "stood",
        "take_leave",
        "taken_leave",
        "tell",
        "telling",
        "tells",
        "that_is_so",
        "told",
        "untold",
        "verdict",
        "verdicts",
        "visitor",
        "visitors",
        "whoever",
        "whosoever",
    ]
)
# Exact names, or parts of names joined by underscores, with the reason why they stay.
ALLOWED = {
    "stand_in": "the glossary's term for a replacement of an external service",
    "stand_ins": "the plural of the above",
    "floor_to_grid": "rounds down, as math.floor does",
}
_DENIED = re.compile(f"(?=_({'|'.join(sorted(DENIED))})_)")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words_of(name: str) -> str:
    """Return a name's words in lower case, joined by underscores: ``TickFilter`` is tick_filter."""
    return "_".join(_PARTS.findall(name)).lower()


@cache
def denied_in(name: str) -> frozenset[str]:
    """Return the denied words and sequences of words in a name."""
    words = f"_{words_of(name)}_"
    for allowed in ALLOWED:
        words = words.replace(f"_{allowed}_", "_")
    return frozenset(_DENIED.findall(words))


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every name that a file uses or defines, with its line."""
    for part in path.with_suffix("").parts:
        yield 1, part
    for node in ast.walk(tree(path)):
        line = getattr(node, "lineno", 1)
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield line, name
            case ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)):
                yield line, name
            case ast.alias(asname=str(name)):
                yield line, name
    for event in logged(path):
        for name in names(event):
            yield event.lineno, name


def findings(path: Path) -> list[str]:
    """Return each name of a file that contains a denied word."""
    found = {
        f"{path}:{line}: {name} ({', '.join(sorted(denied))})"
        for line, name in names_in(path)
        if (denied := denied_in(name))
    }
    return sorted(found)


def source_files() -> Iterator[Path]:
    """Yield the Python files of the product and its tests, except for past migrations."""
    for path in python_files():
        if not path.is_relative_to("migrations/versions"):
            yield path
    yield from python_files("tests")


def test_no_name_contains_a_denied_word() -> None:
    found = [finding for path in source_files() for finding in findings(path)]
    assert found == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lookup", set()),
        ("look_up", {"look"}),
        ("MarketLook", {"look"}),
        ("test_it_is_TOLD", {"told"}),
        ("StandIn", set()),
        ("stand_in_of_standing", {"standing"}),
        ("dead_man_switch", {"dead_man"}),
        ("floor_to_grid", set()),
        ("HTTPDesk", {"desk"}),
    ],
)
def test_denied_words_are_found_in_names(name: str, expected: set[str]) -> None:
    assert denied_in(name) == expected


def test_denied_words_are_found_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plain.py"
    file.write_text(
        "import json as desk\n"
        "def run(told, *, looks=1): return leash(verdict=told.fate)\n"
        "class Keeper: pass\n"
        "log.warning('ticks_stand_still')\n"
    )
    words = {word for _, name in names_in(file) for word in denied_in(name)}
    assert words >= {"desk", "told", "looks", "leash", "verdict", "fate", "keeper", "stand"}
