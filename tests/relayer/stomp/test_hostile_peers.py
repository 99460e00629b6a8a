"""Whatever a peer sends, a session never raises: it continues or ends with one protocol error."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp import (
    ClientSession,
    ErrorReceived,
    Failed,
    HeartBeat,
    ServerSession,
    SubscriptionIds,
    Version,
)
from tests.relayer.stomp.strategies import almost_stomp, cuts, frames

BEATS = HeartBeat(send_ms=1_000, want_ms=1_000)
TOPIC = "/topic/a"


def client() -> ClientSession:
    """Return a connected client session that requested TOPIC."""
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)
    session.receive(b"CONNECTED\nversion:1.2\n\n\0", 0.0)
    session.subscribe(TOPIC, now=0.0)
    return session


def server() -> ServerSession:
    """Return a server session whose client requested TOPIC."""
    session = ServerSession(heart_beat=BEATS, now=0.0)
    session.receive(b"CONNECT\naccept-version:1.2\n\n\0", 0.0)
    session.accept(now=0.0)
    session.receive(b"SUBSCRIBE\nid:7\ndestination:/topic/a\n\n\0", 0.0)
    return session


# Known frames with headers that sessions read, whole or in fragments.
_known_frames = st.sampled_from(
    [
        b"MESSAGE\nsubscription:sub-1\n\n{}\0",
        b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0",
        b"RECEIPT\n\n\0",
        b"ERROR\nreceipt-id:sub-1-sub_receipt\n\n\0",
        b"CONNECTED\n\n\0",
        b"CONNECT\naccept-version:1.2\n\n\0",
        b"SUBSCRIBE\nid:7\ndestination:/topic/b\n\n\0",
        b"SUBSCRIBE\nid:8\ndestination:/topic/b\nreceipt:r\n\n\0",
        b"UNSUBSCRIBE\nid:7\n\n\0",
        b"DISCONNECT\n\n\0",
    ]
)
_anything = st.lists(
    _known_frames | almost_stomp | frames().map(lambda frame: frame.encode()), max_size=6
).map(b"".join)


@given(stream=_anything, data=st.data())
@pytest.mark.parametrize("build", [client, server])
def test_a_session_survives_any_input(
    build: Callable[[], ClientSession | ServerSession], stream: bytes, data: st.DataObject
) -> None:
    """The events do not depend on the split; a failure is the last event."""
    session, whole = build(), build()
    whole.receive(stream, 1.0)
    for piece in data.draw(cuts(stream)):
        session.receive(piece, 1.0)

    events = session.events()
    assert [str(event) for event in events] == [str(event) for event in whole.events()]
    assert not any(isinstance(event, Failed | ErrorReceived) for event in events[:-1])
    assert session.closed is bool(events and isinstance(events[-1], Failed | ErrorReceived))
    session.tick(1_000.0)
    if session.closed:
        session.receive(stream, 1_000.0)
        assert session.deadline is None


@given(data=st.data())
@pytest.mark.parametrize("version", Version)
def test_frames_after_connected_are_read_in_its_version(
    version: Version, data: st.DataObject
) -> None:
    """However the two are split: the version applies from the next byte on."""
    body = data.draw(st.binary(min_size=1, max_size=20))
    message = (
        f"MESSAGE\nsubscription:sub-1\nodd:\\r\ncontent-length:{len(body)}\n\n".encode()
        + body
        + b"\0"
    )
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    for piece in data.draw(cuts(f"CONNECTED\nversion:{version}\n\n\0\n".encode() + message)):
        session.receive(piece, 0.0)

    assert session.closed is (version is Version.V1_1)
