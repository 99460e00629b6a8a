"""Links in all Markdown pages lead to a file and heading, and docs/README.md lists every page."""

import re
from functools import cache
from pathlib import Path

import pytest

from launcher.plan import ROOT

# Folders that are generated or belong to a tool.
SKIPPED = {"node_modules", "var"}
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "*/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(
        part in SKIPPED or part.startswith(".") for part in path.relative_to(ROOT).parts[:-1]
    )
)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
EXTERNAL = re.compile(r"[a-z]+:")


def text_of(page: Path) -> str:
    """Return the page without code blocks."""
    return FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and GitLab form them."""
    headings = HEADING.findall(text_of(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in LINK.findall(CODE.sub("", text_of(page))):
        if EXTERNAL.match(link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in anchors(target.resolve())):
            broken.append(link)
    assert broken == []


def test_index_lists_every_page() -> None:
    folder = ROOT / "docs"
    listed = set(LINK.findall((folder / "README.md").read_text()))
    pages = {str(page.relative_to(folder)) for page in folder.rglob("*.md")}
    pages = {page for page in pages if not page.startswith("decisions/")}
    assert pages - listed == {"README.md"}
