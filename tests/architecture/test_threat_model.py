"""docs/threat-model.md: every test that it names as a proof exists."""

import re

from launcher.plan import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Threat, what meets it, and proofs; without the head, its line and the headings inside the table."""
    return [row for row in ROW.findall(PAGE) if row[1] and row[0] not in ("threat", "---")]


def test_every_threat_has_its_proof() -> None:
    """A row without a test is a wish."""
    found = rows()
    for threat, meets, proofs in found:
        named = re.findall(r"`(tests/[\w/]+\.py)`", proofs)
        assert named, threat
        assert meets
        for proof in named:
            assert (ROOT / proof).exists(), proof
