"""Any split of a stream gives the same frames; garbage gives only protocol errors."""

import tracemalloc
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp.errors import LimitExceeded, MalformedFrame, ProtocolError
from relayer.stomp.frames import Frame, StompCommand
from relayer.stomp.limits import Limits
from relayer.stomp.parser import Parser
from relayer.stomp.versions import Version
from tests.relayer.stomp.strategies import almost_stomp, cuts, frames


def parse(
    pieces: list[bytes], limits: Limits | None = None, version: Version = Version.V1_2
) -> tuple[list[Frame], str | None]:
    """Return all frames of the pieces and the name of the error that ended them, or None."""
    parser = Parser(limits or Limits())
    parser.version = version
    found: list[Frame] = []
    for piece in pieces:
        parser.receive(piece)
        try:
            found.extend(iter(parser.next_frame, None))
        except ProtocolError as error:
            return found, type(error).__name__
    return found, None


@given(ends=st.lists(st.sampled_from([b"", b"\n", b"\r\n\n"]), max_size=4), data=st.data())
@pytest.mark.parametrize("version", Version)
def test_any_split_gives_the_same_frames(
    version: Version, ends: list[bytes], data: st.DataObject
) -> None:
    """Frames in one message or in many, with heart-beats between them."""
    sent = data.draw(st.lists(frames(version), max_size=4))
    written = (frame.encode(version) for frame in sent)
    stream = b"".join(chain.from_iterable(zip(ends + [b""] * len(sent), written, strict=False)))

    assert parse(data.draw(cuts(stream)), version=version) == (sent, None)


@given(garbage=almost_stomp, version=st.sampled_from(Version), data=st.data())
def test_garbage_gives_the_same_protocol_error_for_any_split(
    garbage: bytes, version: Version, data: st.DataObject
) -> None:
    """The result is frames and at most one ProtocolError."""
    limits = Limits(header_count=3, header_line_octets=12, head_octets=40, body_octets=8)

    assert parse(data.draw(cuts(garbage)), limits, version) == parse([garbage], limits, version)


@given(garbage=st.binary(max_size=300))
def test_random_bytes_give_only_protocol_errors(garbage: bytes) -> None:
    parse([garbage])


def test_lines_may_end_with_cr_lf() -> None:
    sent = b"MESSAGE\r\nsubscription:sub-1\r\n\r\nhello\0\r\n"

    assert parse([sent]) == (
        [Frame(StompCommand.MESSAGE, (("subscription", "sub-1"),), b"hello")],
        None,
    )


@pytest.mark.parametrize(
    ("version", "value"),
    [(Version.V1_0, "a\\\\b\\nc\\rd\\ce"), (Version.V1_1, None), (Version.V1_2, "a\\b\nc\rd:e")],
)
def test_each_version_reads_its_own_escapes(version: Version, value: str | None) -> None:
    """1.0 has none; 1.1 does not define that of CR, which is an error."""
    found, error = parse([b"MESSAGE\na:a\\\\b\\nc\\rd\\ce\n\n\0"], version=version)

    assert [frame.header("a") for frame in found] == ([] if value is None else [value])
    assert error == (MalformedFrame.__name__ if value is None else None)


@pytest.mark.parametrize("version", [Version.V1_0, Version.V1_1])
def test_before_1_2_a_cr_is_a_character_unless_it_ends_the_line(version: Version) -> None:
    """Old servers that end lines with CR LF are accepted."""
    found, error = parse([b"MESSAGE\r\na:b\rc\r\n\r\n\0"], version=version)

    assert ([frame.header("a") for frame in found], error) == (["b\rc"], None)


def test_a_cr_lf_heart_beat_may_be_split() -> None:
    assert parse([b"\r", b"\nMESSAGE\n\n\0\r\n\r", b"\n"]) == ([Frame(StompCommand.MESSAGE)], None)


def test_a_body_of_known_length_may_contain_nul() -> None:
    found, error = parse([b"MESSAGE\ncontent-length:3\n\na\0b\0"])

    assert (found[0].body, error) == (b"a\0b", None)


def test_header_values_are_not_trimmed() -> None:
    found, _ = parse([b"MESSAGE\nsubscription: sub-1 \n\n\0"])

    assert found[0].header("subscription") == " sub-1 "


def test_a_bare_colon_in_a_value_is_kept() -> None:
    """STOMP 1.0 and 1.1 servers write message ids with colons."""
    found, _ = parse([b"MESSAGE\nmessage-id:ID:broker:1\n\n\0"])

    assert found[0].header("message-id") == "ID:broker:1"


def test_connected_is_not_unescaped() -> None:
    found, _ = parse([b"CONNECTED\nsession:a\\cb\n\n\0"])

    assert found[0].header("session") == "a\\cb"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"HELLO\n\n\0", id="unknown command"),
        pytest.param(b"message\n\n\0", id="commands are in capitals"),
        pytest.param(b"MESSAGE\nabc\n\n\0", id="no colon"),
        pytest.param(b"MESSAGE\n:abc\n\n\0", id="no name"),
        pytest.param(b"MESSAGE\na:b\\t\n\n\0", id="undefined escape"),
        pytest.param(b"MESSAGE\na:b\\\n\n\0", id="escape without a character"),
        pytest.param(b"MESSAGE\na:b\rc\n\n\0", id="CR alone"),
        pytest.param(b"MESSAGE\na:\xff\n\n\0", id="not UTF-8"),
        pytest.param(b"MESSAGE\n\0", id="NUL in the head"),
        pytest.param(b"MESSAGE\ncontent-length:x\n\n\0", id="length is no number"),
        pytest.param(b"MESSAGE\ncontent-length:1\n\nab\0", id="longer than its length"),
        pytest.param(b"RECEIPT\n\nabc\0", id="a body where none may be"),
    ],
)
def test_an_invalid_frame_ends_the_stream(stream: bytes) -> None:
    """The error is final, even if valid bytes follow."""
    parser = Parser()
    parser.receive(stream)

    with pytest.raises(MalformedFrame):
        parser.next_frame()
    parser.receive(b"MESSAGE\n\n\0")
    with pytest.raises(MalformedFrame):
        parser.next_frame()
    assert not parser._buffer, "a stream without a meaning is not kept"


LIMITS = Limits(header_count=2, header_line_octets=10, head_octets=40, body_octets=5)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"MESSAGE\na:1\nb:2\n\n12345\0", id="headers and body"),
        pytest.param(b"MESSAGE\na:34567890\n\n\0", id="header line"),
        pytest.param(b"MESSAGE\n" + b"a:4567890\n" * 2 + b"\n\0", id="head"),
        pytest.param(b"MESSAGE\nc" + b":1\n\n12345\0", id="body without length"),
    ],
)
def test_a_frame_at_the_limit_is_accepted(stream: bytes) -> None:
    found, error = parse([stream], LIMITS)

    assert (len(found), error) == (1, None)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"MESSAGE\na:1\nb:2\nc:3\n\n\0", id="headers"),
        pytest.param(b"MESSAGE\na:345678901\n\n\0", id="header line"),
        pytest.param("MESSAGE\na:한한한\n\n\0".encode(), id="header line in octets"),
        pytest.param(b"M" * 41, id="head without an end"),
        pytest.param(b"MESSAGE\n" + b"a:b\n" * 9 + b"\n\0", id="head"),
        pytest.param(b"MESSAGE\n\n123456", id="body without an end"),
        pytest.param(b"MESSAGE\n\n123456\0", id="body"),
        pytest.param(b"MESSAGE\n\n" + b"MESSAGE"[:5] + b"x" * 9, id="body far beyond"),
    ],
)
def test_a_frame_beyond_a_limit_is_refused(stream: bytes) -> None:
    _, error = parse([stream], LIMITS)

    assert error == LimitExceeded.__name__


def test_a_length_beyond_the_limit_is_refused_before_the_body_arrives() -> None:
    limits = Limits(body_octets=5)

    assert parse([b"MESSAGE\ncontent-length:6\n\n"], limits) == ([], LimitExceeded.__name__)


@pytest.mark.parametrize(
    ("begun", "octets"),
    [
        pytest.param(b"", 41, id="head"),
        pytest.param(b"MESSAGE\na:", 31, id="header"),
        pytest.param(b"MESSAGE\n\n", 6, id="body"),
    ],
)
def test_endless_input_is_refused_at_its_limit(begun: bytes, octets: int) -> None:
    """Byte by byte, never more than the limit is buffered."""
    assert parse([begun, *[b"x"] * (octets - 1)], LIMITS) == ([], None)
    assert parse([begun, *[b"x"] * octets], LIMITS) == ([], LimitExceeded.__name__)


@pytest.mark.parametrize("beat", [b"\n", b"\r\n"])
def test_a_flood_of_heart_beats_uses_no_memory(beat: bytes) -> None:
    flood = beat * 500_000
    parser = Parser()

    tracemalloc.start()
    try:
        parser.receive(flood + b"MESSAGE\n\n\0")
        found = parser.next_frame()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == Frame(StompCommand.MESSAGE)
    assert peak < 4 * len(flood)
