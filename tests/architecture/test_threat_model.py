"""docs/threat-model.md: every proof that it names is there, and every page that it leads to."""

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
    assert len(found) > 25
    for threat, meets, proofs in found:
        named = re.findall(r"`(tests/[\w/]+\.py)`", proofs)
        assert named, threat
        assert meets
        for proof in named:
            assert (ROOT / proof).exists(), proof


def test_every_kind_of_threat_is_there() -> None:
    """By the six of STRIDE."""
    kinds = re.findall(r"^\| \*\*([\w ]+)\*\* \| \| \|$", PAGE, re.MULTILINE)
    assert kinds == [
        "Spoofing",
        "Tampering",
        "Repudiation",
        "Disclosure",
        "Denial of service",
        "Elevation",
    ]
