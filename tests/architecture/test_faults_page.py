"""docs/operations/faults.md compared with the fault tests."""

import ast
import re

from launcher.plan import ROOT
from tests.architecture.source import python_files, tree

PAGE = ROOT / "docs" / "operations" / "faults.md"


def test_page_names_every_scenario_and_no_other() -> None:
    played = {
        node.name
        for path in python_files("tests/faults/test_*.py")
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert set(re.findall(r"`(test_\w+)`", PAGE.read_text())) == played
