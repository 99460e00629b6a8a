"""Escapes of each version, and what it cannot escape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.versions import Version, escape, refuse_unwritable, unescape

AWKWARD = "\\\r\n:c"


@given(text=st.text(st.sampled_from(AWKWARD)))
@pytest.mark.parametrize("version", Version)
def test_escaping_round_trips(version: Version, text: str) -> None:
    """Escaped text is one line without a colon in versions with escapes."""
    written = escape(text, version)

    assert unescape(written, version) == text
    if version is Version.V1_2:
        assert not set("\r\n:") & set(written)


@pytest.mark.parametrize(
    ("version", "names", "values"),
    [(Version.V1_0, "\r\n:", "\r\n"), (Version.V1_1, "\r", "\r"), (Version.V1_2, "", "")],
)
def test_unescapable_text_is_refused(version: Version, names: str, values: str) -> None:
    """Separately for names and values: the first colon of a line ends the name."""

    def is_refused(name: str, value: str) -> bool:
        try:
            refuse_unwritable(name, value, version)
        except MalformedFrame:
            return True
        return False

    assert {character for character in AWKWARD if is_refused(f"a{character}", "")} == set(names)
    assert {character for character in AWKWARD if is_refused("a", f"a{character}")} == set(values)
