"""The knobs themselves, and the page that tells of them."""

import re

import pytest
from pydantic import ValidationError

from launcher.plan import ROOT
from sandbox.faults import Break, ConnectionEnd, Faults, Moment

HEADING = "### What it does wrong on purpose\n"
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def page() -> str:
    """What docs/relayer.md says of the knobs."""
    return (
        (ROOT / "docs" / "relayer.md").read_text("utf-8").partition(HEADING)[2].partition("\n#")[0]
    )


def test_the_page_tells_every_knob_with_its_default() -> None:
    """Whoever tries something by hand knows only what is written down."""
    told = {name: default.strip("`") for name, default in ROW.findall(page())}

    none_set = Faults().model_dump(mode="json")
    assert told == {
        name: "none" if value is None else str(value).lower() for name, value in none_set.items()
    }


def test_the_page_tells_every_moment_and_ending() -> None:
    assert [word for word in (*Moment, *ConnectionEnd) if f"`{word}`" not in page()] == []


def test_an_impossible_value_is_refused_where_it_is_set() -> None:
    """A knob that is turned too far while the server runs would otherwise fail in a connection."""
    faults = Faults()

    with pytest.raises(ValidationError):
        faults.message_octets = 0
    assert faults == Faults()


@pytest.mark.parametrize("code", [999, 1005, 1006, 1015, 2999, 5000])
def test_a_close_code_that_no_frame_may_carry_is_refused(code: int) -> None:
    with pytest.raises(ValidationError, match="close frame"):
        Break(at=Moment.MESSAGE, ending=ConnectionEnd.CLOSE, close_code=code)
