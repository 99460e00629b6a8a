"""docs/threat-model.md: every test that it names as proof exists."""

import re

from launcher.plan import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    """Return threat, measure and proofs of each row."""
    return [row for row in ROW.findall(PAGE) if row[1] and row[0] not in ("threat", "---")]


def test_every_threat_has_a_proof() -> None:
    found = rows()
    for threat, meets, proofs in found:
        named = re.findall(r"`(tests/[\w/]+\.py)`", proofs)
        assert named, threat
        assert meets
        for proof in named:
            assert (ROOT / proof).exists(), proof
