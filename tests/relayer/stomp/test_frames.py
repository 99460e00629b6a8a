"""Frames validate and encode themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.frames import Frame, StompCommand
from relayer.stomp.parser import Parser
from relayer.stomp.versions import Version
from tests.relayer.stomp.strategies import frames


@given(data=st.data())
@pytest.mark.parametrize("version", Version)
def test_encoding_and_parsing_round_trips(version: Version, data: st.DataObject) -> None:
    frame = data.draw(frames(version))
    parser = Parser()
    parser.version = version
    parser.receive(frame.encode(version))

    assert parser.next_frame() == frame
    assert parser.next_frame() is None


def test_subscribe_is_encoded_as_in_the_specification() -> None:
    frame = Frame(StompCommand.SUBSCRIBE, (("id", "sub-1"), ("destination", "/topic/a")))

    assert frame.encode() == b"SUBSCRIBE\nid:sub-1\ndestination:/topic/a\n\n\0"


def test_special_header_characters_are_escaped() -> None:
    """CR, LF, colon and backslash, in names and values; version 1.0 has no escapes."""
    frame = Frame(StompCommand.SEND, (("a:b", "c\\d\r\ne:f"),))

    assert frame.encode() == b"SEND\na\\cb:c\\\\d\\r\\ne\\cf\n\n\0"
    assert (
        Frame(StompCommand.SEND, (("a", "c\\d:f"),)).encode(Version.V1_0) == b"SEND\na:c\\d:f\n\n\0"
    )


@pytest.mark.parametrize(
    ("version", "header"),
    [
        pytest.param(Version.V1_1, ("a\r", "x"), id="CR in a name of 1.1"),
        pytest.param(Version.V1_1, ("a", "x\r"), id="CR in a value of 1.1"),
        pytest.param(Version.V1_0, ("a:b", "x"), id="colon in a name of 1.0"),
        pytest.param(Version.V1_0, ("a\nb", "x"), id="LF in a name of 1.0"),
        pytest.param(Version.V1_0, ("a", "x\ny"), id="LF in a value of 1.0"),
    ],
)
def test_unescapable_headers_are_refused(version: Version, header: tuple[str, str]) -> None:
    """A raw line end would let a value start another header."""
    frame = Frame(StompCommand.SEND, (header,))

    with pytest.raises(MalformedFrame):
        frame.encode(version)


@pytest.mark.parametrize("version", Version)
def test_connect_is_never_escaped(version: Version) -> None:
    """A token with colons and backslashes is sent unchanged."""
    frame = Frame(StompCommand.CONNECT, (("authorization", "a:b\\c"),))

    assert frame.encode(version) == b"CONNECT\nauthorization:a:b\\c\n\n\0"


def test_content_length_counts_bytes() -> None:
    """Korean text has more UTF-8 bytes than characters."""
    frame = Frame(StompCommand.MESSAGE, (("subscription", "sub-1"),), "삼성".encode())

    assert b"content-length:6\n" in frame.encode()


def test_a_given_content_length_is_not_repeated() -> None:
    frame = Frame(StompCommand.MESSAGE, (("content-length", "2"),), b"ab")

    assert frame.encode().count(b"content-length") == 1


def test_the_first_of_repeated_headers_is_used() -> None:
    frame = Frame(StompCommand.MESSAGE, (("subscription", "sub-1"), ("subscription", "sub-2")))

    assert frame.header("subscription") == "sub-1"
    assert frame.header("destination") is None


@pytest.mark.parametrize(
    ("command", "headers", "body"),
    [
        pytest.param(StompCommand.RECEIPT, (), b"x", id="a body where none may be"),
        pytest.param(StompCommand.SEND, (("", "x"),), b"", id="a nameless header"),
        pytest.param(StompCommand.SEND, (("a\0", "x"),), b"", id="NUL in a name"),
        pytest.param(StompCommand.SEND, (("a", "x\0"),), b"", id="NUL in a value"),
        pytest.param(StompCommand.SEND, (("a", "\ud800"),), b"", id="a lone surrogate"),
        pytest.param(StompCommand.CONNECT, (("a:b", "x"),), b"", id="a colon in CONNECT's name"),
        pytest.param(StompCommand.CONNECT, (("a", "x\ny"),), b"", id="LF in CONNECT's value"),
        pytest.param(StompCommand.CONNECTED, (("a", "x\r"),), b"", id="CR in CONNECTED's value"),
        pytest.param(StompCommand.SEND, (("content-length", "3"),), b"ab", id="a wrong length"),
        pytest.param(
            StompCommand.SEND, (("content-length", "-2"),), b"ab", id="a length that is no number"
        ),
    ],
)
def test_an_invalid_frame_cannot_be_created(
    command: StompCommand, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    with pytest.raises(MalformedFrame):
        Frame(command, headers, body)
