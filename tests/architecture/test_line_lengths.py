"""Text files keep lines within 100 columns, as ruff's E501 checks for Python."""

import re
import unicodedata
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.architecture.test_markdown_pages import PAGES

COLUMNS_MAX = 100
# A string or word above this cannot be moved to a line that is much shorter.
UNBREAKABLE_COLUMNS = 40
URL = re.compile(r"\S+://\S+")
QUOTED_OR_WORD = re.compile(r"""`[^`]*`|"(?:\\.|[^"\\])*"|'[^']*'|\S+""")

GENERATED_PAGES = {"docs/database.md"}
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in (
        "*.sh",
        "*/*.sh",
        "deploy/**/*.sh",
        "scripts/*",
        ".ci/run",
        "Dockerfile",
        "docker-compose.yml",
        "deploy/docker-compose.*.yml",
        "deploy/Caddyfile",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and ".venv" not in path.parts
)


def width(text: str) -> int:
    """Return the columns of a terminal that a text fills. Korean letters fill two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def long_lines(page: Path) -> list[str]:
    """Return a Markdown page's long lines outside tables and fenced code, not counting URLs."""
    found = []
    fenced = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.lstrip().startswith("|"):
            continue
        elif width(URL.sub("", line)) > COLUMNS_MAX:
            found.append(f"{number}: {line}")
    return found


def is_breakable(line: str) -> bool:
    """Return False if a quoted string or a word is longer than UNBREAKABLE_COLUMNS."""
    return all(width(part) <= UNBREAKABLE_COLUMNS for part in QUOTED_OR_WORD.findall(line))


@pytest.mark.parametrize("name", [page for page in PAGES if page not in GENERATED_PAGES])
def test_markdown_lines_are_within_100_columns(name: str) -> None:
    assert long_lines(ROOT / name) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_and_configuration_lines_are_within_100_columns(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if width(line) > COLUMNS_MAX and is_breakable(line)] == []
