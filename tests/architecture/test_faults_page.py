"""docs/operations/faults.md against the suite that it tells of."""

import ast
import re

from launcher.plan import ROOT
from tests.architecture.source import python_files, tree

PAGE = ROOT / "docs" / "operations" / "faults.md"


def test_the_page_names_every_ordeal_and_no_other() -> None:
    """A fault that is played and not told of helps no operator, and one that is told of and not played is a promise."""
    played = {
        node.name
        for path in python_files("tests/faults/test_*.py")
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) == played
