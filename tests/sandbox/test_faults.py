"""The faults and their documentation."""

import re

import pytest
from pydantic import ValidationError

from launcher.plan import ROOT
from sandbox.faults import Break, ConnectionEnd, Faults, Moment

HEADING = "### What it does wrong on purpose\n"
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def page() -> str:
    """Return the text of docs/relayer.md about faults."""
    return (
        (ROOT / "docs" / "relayer.md").read_text("utf-8").partition(HEADING)[2].partition("\n#")[0]
    )


def test_page_lists_every_fault_with_its_default() -> None:
    documented = {name: default.strip("`") for name, default in ROW.findall(page())}

    none_set = Faults().model_dump(mode="json")
    assert documented == {
        name: "none" if value is None else str(value).lower() for name, value in none_set.items()
    }


def test_page_lists_every_moment_and_ending() -> None:
    assert [word for word in (*Moment, *ConnectionEnd) if f"`{word}`" not in page()] == []


def test_impossible_value_is_rejected() -> None:
    """It would otherwise fail later, in a connection."""
    faults = Faults()

    with pytest.raises(ValidationError):
        faults.message_octets = 0
    assert faults == Faults()


@pytest.mark.parametrize("code", [999, 1005, 1006, 1015, 2999, 5000])
def test_close_code_that_cannot_be_sent_is_rejected(code: int) -> None:
    with pytest.raises(ValidationError, match="close frame"):
        Break(at=Moment.MESSAGE, ending=ConnectionEnd.CLOSE, close_code=code)
