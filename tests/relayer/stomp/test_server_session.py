"""Server session, as broker stand-ins use it."""

import pytest

from relayer.stomp import (
    ConnectRequested,
    DisconnectRequested,
    Failed,
    HeartBeat,
    IllegalAction,
    PeerSilent,
    ServerSession,
    State,
    SubscribeRequested,
    UnsubscribeRequested,
)
from relayer.stomp.limits import CONNECTED_TIMEOUT_S

BEATS = HeartBeat(send_ms=1_000, want_ms=1_000)
CONNECT = b"CONNECT\naccept-version:1.1, 1.2\nheart-beat:1000,1000\nauthorization:token\n\n\0"
SUBSCRIBE = b"SUBSCRIBE\nid:7\ndestination:/topic/a\nreceipt:r1\n\n\0"


def accepted_session() -> ServerSession:
    """Return a session accepted at time 0 with empty queues."""
    session = ServerSession(heart_beat=BEATS, now=0.0)
    session.receive(CONNECT, 0.0)
    session.accept(now=0.0)
    session.data_to_send()
    session.events()
    return session


@pytest.mark.parametrize("command", [b"CONNECT", b"STOMP"])
def test_accept_answers_with_connected(command: bytes) -> None:
    session = ServerSession(heart_beat=BEATS, now=0.0)

    session.receive(CONNECT.replace(b"CONNECT", command), 0.0)
    assert session.events() == [ConnectRequested(authorization="token")]
    session.accept(now=0.0)

    assert session.data_to_send() == [b"CONNECTED\nversion:1.2\nheart-beat:1000,1000\n\n\0"]


def test_refuse_answers_with_error() -> None:
    session = ServerSession(heart_beat=BEATS, now=0.0)
    session.receive(CONNECT, 0.0)

    session.refuse("no", now=0.0)

    assert session.data_to_send() == [b"ERROR\nmessage:no\n\n\0"]
    assert session.closed


@pytest.mark.parametrize("versions", [b"accept-version:1.1,1.0\n", b""])
def test_another_version_is_refused_with_the_supported_one(versions: bytes) -> None:
    session = ServerSession(heart_beat=BEATS, now=0.0)

    session.receive(b"CONNECT\n" + versions + b"\n\0", 0.0)

    assert session.data_to_send() == [
        b"ERROR\nmessage:only version 1.2 is supported\nversion:1.2\n\n\0"
    ]
    assert session.closed


def test_a_client_that_never_connects_is_refused() -> None:
    session = ServerSession(heart_beat=BEATS, now=0.0)
    session.tick(1.0)
    assert session.deadline == CONNECTED_TIMEOUT_S

    session.tick(CONNECTED_TIMEOUT_S)

    assert isinstance(session.events()[0], Failed)


def test_subscribe_and_unsubscribe_become_events() -> None:
    session = accepted_session()

    session.receive(SUBSCRIBE, 0.0)
    assert session.events() == [
        SubscribeRequested(subscription="7", destination="/topic/a", receipt="r1")
    ]
    assert session.subscriptions == {"7": "/topic/a"}
    session.acknowledge("r1", now=0.0)
    session.message("7", b"{}", now=0.0)
    session.receive(b"UNSUBSCRIBE\nid:7\n\n\0", 0.0)

    assert session.events() == [
        UnsubscribeRequested(subscription="7", destination="/topic/a", receipt=None)
    ]
    assert session.subscriptions == {}
    assert session.data_to_send() == [
        b"RECEIPT\nreceipt-id:r1\n\n\0",
        b"MESSAGE\nsubscription:7\nmessage-id:1\ncontent-type:application/json;charset=utf-8\ncontent-length:2\n\n{}\0",
    ]


def test_a_message_needs_a_subscription() -> None:
    with pytest.raises(IllegalAction):
        accepted_session().message("7", b"{}", now=0.0)


def test_refusing_a_destination_names_its_receipt() -> None:
    session = accepted_session()
    session.receive(SUBSCRIBE, 0.0)

    session.refuse("unknown", now=0.0, receipt="r1")

    assert session.data_to_send() == [b"ERROR\nmessage:unknown\nreceipt-id:r1\n\n\0"]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        pytest.param(
            b"SUBSCRIBE\nid:7\n\n\0",
            b"ERROR\nmessage:SUBSCRIBE needs an id and a destination\n\n\0",
            id="no destination",
        ),
        pytest.param(
            b"SUBSCRIBE\ndestination:/a\n\n\0",
            b"ERROR\nmessage:SUBSCRIBE needs an id and a destination\n\n\0",
            id="no id",
        ),
        pytest.param(
            SUBSCRIBE + SUBSCRIBE.replace(b"r1", b"r2"),
            b"ERROR\nmessage:the subscription id is taken\nreceipt-id:r2\n\n\0",
            id="taken id",
        ),
        pytest.param(
            b"UNSUBSCRIBE\nid:8\n\n\0",
            b"ERROR\nmessage:UNSUBSCRIBE names no subscription\n\n\0",
            id="unknown id",
        ),
        pytest.param(
            b"UNSUBSCRIBE\n\n\0",
            b"ERROR\nmessage:UNSUBSCRIBE names no subscription\n\n\0",
            id="no id to withdraw",
        ),
        pytest.param(
            CONNECT, b"ERROR\nmessage:CONNECT came while CONNECTED\n\n\0", id="CONNECT again"
        ),
        pytest.param(
            b"NONSENSE\n\n\0", b"ERROR\nmessage:the command is unknown\n\n\0", id="no STOMP"
        ),
    ],
)
def test_a_clients_error_is_answered_with_error(fault: bytes, answer: bytes) -> None:
    session = accepted_session()

    session.receive(fault, 0.0)

    assert session.data_to_send()[-1] == answer
    assert session.closed


def test_disconnect_is_confirmed_after_earlier_requests() -> None:
    session = accepted_session()
    session.receive(SUBSCRIBE + b"DISCONNECT\nreceipt:bye\n\n\0", 0.0)

    assert session.events()[-1] == DisconnectRequested(receipt="bye")
    session.acknowledge("r1", now=0.0)
    assert session.state is State.DISCONNECTING
    session.acknowledge_disconnect("bye", now=0.0)

    assert session.data_to_send() == [
        b"RECEIPT\nreceipt-id:r1\n\n\0",
        b"RECEIPT\nreceipt-id:bye\n\n\0",
    ]
    assert session.closed


def test_disconnect_without_a_receipt_is_not_answered() -> None:
    session = accepted_session()
    session.receive(b"DISCONNECT\n\n\0SEND\n\n\0", 0.0)

    assert session.data_to_send() == []
    assert session.closed
    quiet = accepted_session()
    quiet.receive(b"DISCONNECT\n\n\0", 0.0)
    quiet.acknowledge_disconnect(None, now=0.0)
    assert quiet.data_to_send() == []
    assert quiet.closed


def test_a_silent_client_is_dropped_after_two_intervals() -> None:
    session = accepted_session()

    session.tick(1.9)
    assert session.events() == []
    session.tick(2.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, PeerSilent)
