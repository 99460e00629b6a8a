"""Frames validate themselves and say themselves in bytes."""

import pytest
from hypothesis import given

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.frames import Command, Frame
from relayer.stomp.parser import Parser
from tests.relayer.stomp.strategies import frames


@given(frame=frames())
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    """Encoded and parsed, any frame is the same frame."""
    parser = Parser()
    parser.receive(frame.encode())

    assert parser.next_frame() == frame
    assert parser.next_frame() is None


def test_subscribe_is_encoded_to_the_octet() -> None:
    """The bytes are the specification's own."""
    frame = Frame(Command.SUBSCRIBE, (("id", "sub-1"), ("destination", "/topic/a")))

    assert frame.encode() == b"SUBSCRIBE\nid:sub-1\ndestination:/topic/a\n\n\0"


def test_header_octets_with_a_meaning_are_escaped() -> None:
    """CR, LF, colon and backslash travel as escapes, in names and values."""
    frame = Frame(Command.SEND, (("a:b", "c\\d\r\ne:f"),))

    assert frame.encode() == b"SEND\na\\cb:c\\\\d\\r\\ne\\cf\n\n\0"


def test_connect_is_never_escaped() -> None:
    """A token with colons and backslashes reaches the server as it is."""
    frame = Frame(Command.CONNECT, (("authorization", "a:b\\c"),))

    assert frame.encode() == b"CONNECT\nauthorization:a:b\\c\n\n\0"


def test_a_body_travels_with_its_length_in_octets() -> None:
    """Korean text counts its UTF-8 octets, not its characters."""
    frame = Frame(Command.MESSAGE, (("subscription", "sub-1"),), "삼성".encode())

    assert b"content-length:6\n" in frame.encode()


def test_a_stated_length_is_not_stated_twice() -> None:
    frame = Frame(Command.MESSAGE, (("content-length", "2"),), b"ab")

    assert frame.encode().count(b"content-length") == 1


def test_the_first_of_repeated_headers_counts() -> None:
    frame = Frame(Command.MESSAGE, (("subscription", "sub-1"), ("subscription", "sub-2")))

    assert frame.header("subscription") == "sub-1"
    assert frame.header("destination") is None


@pytest.mark.parametrize(
    ("command", "headers", "body"),
    [
        pytest.param(Command.RECEIPT, (), b"x", id="a body where none may be"),
        pytest.param(Command.SEND, (("", "x"),), b"", id="a nameless header"),
        pytest.param(Command.SEND, (("a\0", "x"),), b"", id="NUL in a name"),
        pytest.param(Command.SEND, (("a", "x\0"),), b"", id="NUL in a value"),
        pytest.param(Command.SEND, (("a", "\ud800"),), b"", id="a lone surrogate"),
        pytest.param(Command.CONNECT, (("a:b", "x"),), b"", id="a colon in CONNECT's name"),
        pytest.param(Command.CONNECT, (("a", "x\ny"),), b"", id="LF in CONNECT's value"),
        pytest.param(Command.CONNECTED, (("a", "x\r"),), b"", id="CR in CONNECTED's value"),
        pytest.param(Command.SEND, (("content-length", "3"),), b"ab", id="a wrong length"),
        pytest.param(Command.SEND, (("content-length", "-2"),), b"ab", id="a length that is no number"),
    ],
)
def test_an_impossible_frame_cannot_exist(command: Command, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    with pytest.raises(MalformedFrame):
        Frame(command, headers, body)
