"""Frames are written to messages unchanged, unless lines must end with CR LF."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp import Frame, Parser, StompCommand
from sandbox.faults import Faults
from sandbox.sockets import write_frames

FRAME = Frame(StompCommand.MESSAGE, (("subscription", "1"),), '{"name":\n\n"삼성"}'.encode())
BEAT = b"\n"


def frames_of(messages: list[bytes]) -> list[Frame]:
    """Return the frames that a parser reads from messages."""
    parser = Parser()
    found = []
    for message in messages:
        parser.receive(message)
        while (frame := parser.next_frame()) is not None:
            found.append(frame)
    return found


def test_without_faults_each_frame_and_heart_beat_is_one_message() -> None:
    assert list(write_frames([FRAME.encode(), BEAT], Faults())) == [FRAME.encode(), BEAT]


@given(octets=st.integers(1, 400), count=st.integers(0, 4))
def test_cut_messages_contain_the_same_stream(octets: int, count: int) -> None:
    messages = list(write_frames([FRAME.encode()] * count, Faults(message_octets=octets)))

    assert b"".join(messages) == FRAME.encode() * count
    assert all(len(message) == octets for message in messages[:-1])
    assert all(0 < len(message) <= octets for message in messages)


@pytest.mark.parametrize("octets", [None, 1, 5])
def test_cr_lf_ends_header_lines_only(octets: int | None) -> None:
    messages = list(write_frames([BEAT, FRAME.encode()], Faults(crlf=True, message_octets=octets)))

    assert b"".join(messages).startswith(b"\r\nMESSAGE\r\nsubscription:1\r\n")
    assert frames_of(messages) == frames_of([FRAME.encode()])


def test_without_heart_beats_only_frames_remain() -> None:
    assert list(write_frames([BEAT, FRAME.encode(), BEAT], Faults(beats=False))) == [FRAME.encode()]
