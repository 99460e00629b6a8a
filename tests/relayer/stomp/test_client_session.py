"""Client session: what it sends, how it handles the server's frames, and its timers."""

import pytest

from relayer.stomp import (
    ClientSession,
    Confirmed,
    Connected,
    Disconnected,
    ErrorReceived,
    Failed,
    HeartBeat,
    IllegalAction,
    MalformedFrame,
    Message,
    PeerSilent,
    State,
    StrayMessage,
    SubscriptionIds,
    Unconfirmed,
    UnexpectedFrame,
    Version,
)
from relayer.stomp.limits import CONNECTED_TIMEOUT_S, DISCONNECT_TIMEOUT_S

BEATS = HeartBeat(send_ms=5_000, want_ms=5_000)
CONNECTED = b"CONNECTED\nversion:1.2\n\n\0"
TOPIC = "/topic/v1/kr/stock/trade/A005930"


def connected_session(
    ids: SubscriptionIds | None = None, *, remote: str = "5000,5000"
) -> ClientSession:
    """Return a session connected at time 0 with empty queues."""
    session = ClientSession(ids or SubscriptionIds(), heart_beat=BEATS, receipt_timeout_s=3.0)
    session.connect(host="feed", headers=(), now=0.0)
    session.receive(f"CONNECTED\nversion:1.2\nheart-beat:{remote}\n\n\0".encode(), 0.0)
    session.data_to_send()
    session.events()
    return session


def subscribed_session() -> ClientSession:
    """Return a session with a confirmed subscription of TOPIC as ``sub-1``."""
    session = connected_session()
    session.subscribe(TOPIC, now=0.0)
    session.receive(b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0", 0.0)
    session.data_to_send()
    session.events()
    return session


def test_connect_sends_the_required_headers() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)

    session.connect(host="feed", headers=(("authorization", "a:b"),), now=0.0)

    assert session.has_data_to_send
    assert session.data_to_send() == [
        b"CONNECT\naccept-version:1.2\nhost:feed\nheart-beat:5000,5000\nauthorization:a:b\n\n\0"
    ]
    assert session.state is State.CONNECTING
    assert not session.has_data_to_send


def test_connected_reports_the_agreed_heart_beats() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(b"CONNECTED\nversion:1.2\nheart-beat:7000,0\n\n\0", 1.0)

    assert session.events() == [Connected(version="1.2", beat_every_s=None, expect_every_s=7.0)]


def test_a_server_without_a_version_header_uses_1_0() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(b"CONNECTED\n\n\0", 1.0)

    assert session.events() == [Connected(version="1.0", beat_every_s=None, expect_every_s=None)]
    assert session.deadline is None
    session.tick(1_000_000.0)
    assert session.state is State.CONNECTED


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"CONNECTED\nversion:2.0\n\n\0", UnexpectedFrame, id="unknown version"),
        pytest.param(b"CONNECTED\nversion:1.2\nheart-beat:x\n\n\0", MalformedFrame, id="odd beats"),
        pytest.param(
            b"MESSAGE\nsubscription:sub-1\n\n\0", UnexpectedFrame, id="no CONNECTED first"
        ),
        pytest.param(b"HTTP/1.1 400\n\n\0", MalformedFrame, id="no STOMP at all"),
    ],
)
def test_an_unexpected_answer_to_connect_ends_the_session(
    answer: bytes, error: type[Exception]
) -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(answer, 0.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, error)
    assert session.closed


def test_a_missing_answer_to_connect_times_out() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)
    assert session.deadline == CONNECTED_TIMEOUT_S

    session.tick(CONNECTED_TIMEOUT_S - 0.01)
    assert session.events() == []
    session.tick(CONNECTED_TIMEOUT_S)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, PeerSilent)


def test_a_refused_connect_reports_the_servers_text() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive("ERROR\n\n토큰이 없다\0".encode(), 0.0)

    assert session.events() == [ErrorReceived(summary="토큰이 없다", destination=None)]
    assert session.closed


def test_a_server_without_1_2_refuses_with_its_own_text() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(
        b"ERROR\nversion:1.0,1.1\nmessage:Supported versions are 1.0,1.1\n\nmore\0", 0.0
    )

    [error] = session.events()
    assert isinstance(error, ErrorReceived)
    assert error.summary == "Supported versions are 1.0,1.1"
    assert session.closed


def session_of(version: Version) -> ClientSession:
    """Return a session whose server chose an older version, or none."""
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)
    named = b"" if version is Version.V1_0 else f"version:{version}\n".encode()
    session.receive(b"CONNECTED\n" + named + b"\n\0", 0.0)
    assert [event.version for event in session.events() if isinstance(event, Connected)] == [
        version
    ]
    session.data_to_send()
    return session


@pytest.mark.parametrize(
    ("version", "spelling"),
    [(Version.V1_0, b"a\\:b"), (Version.V1_1, b"a\\\\\\cb"), (Version.V1_2, b"a\\\\\\cb")],
)
def test_frames_are_written_in_the_servers_version(version: Version, spelling: bytes) -> None:
    """Frames after CONNECTED in the same message are read in that version too."""
    session = session_of(version)

    session.subscribe("a\\:b", now=0.0)
    session.receive(b"ERROR\nmessage:" + spelling + b"\n\n\0", 0.0)

    assert b"\ndestination:" + spelling + b"\n" in session.data_to_send()[0]
    assert session.events() == [ErrorReceived(summary="a\\:b", destination=None)]


@pytest.mark.parametrize(
    ("version", "octet"), [(Version.V1_1, "\r"), (Version.V1_0, "\n"), (Version.V1_2, "\0")]
)
def test_a_destination_that_the_version_cannot_write_raises(version: Version, octet: str) -> None:
    session = session_of(version)

    with pytest.raises(IllegalAction):
        session.subscribe(f"/topic/a{octet}", now=0.0)

    assert session.subscribed == frozenset()
    assert not session.has_data_to_send


def test_subscribe_formats_the_destination() -> None:
    """Only SUBSCRIBE uses the formatted destination."""
    session = ClientSession(
        SubscriptionIds(),
        heart_beat=BEATS,
        format_destination=lambda destination: destination.replace("/", "."),
    )
    session.connect(host="feed", headers=(), now=0.0)
    session.receive(CONNECTED, 0.0)
    session.data_to_send()
    session.events()

    session.subscribe("/topic/a", now=0.0)
    session.receive(b"MESSAGE\nsubscription:sub-1\ndestination:.topic.a\n\n{}\0", 0.0)

    assert session.data_to_send() == [
        b"SUBSCRIBE\nid:sub-1\ndestination:.topic.a\nreceipt:sub-1-sub_receipt\n\n\0"
    ]
    assert session.events()[-1] == Message(destination="/topic/a", body=b"{}")
    assert session.subscribed == {"/topic/a"}


def test_subscribe_requests_a_receipt_and_is_confirmed_by_it() -> None:
    session = connected_session()

    session.subscribe(TOPIC, now=0.0)
    session.subscribe(TOPIC, now=0.0)
    assert session.data_to_send() == [
        f"SUBSCRIBE\nid:sub-1\ndestination:{TOPIC}\nreceipt:sub-1-sub_receipt\n\n\0".encode()
    ]
    assert session.events() == []
    session.receive(b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0", 1.0)

    assert session.events() == [Confirmed(destination=TOPIC)]
    assert session.subscribed == {TOPIC}


def test_the_first_message_confirms_a_subscription() -> None:
    """This supports servers without receipts; a late receipt has no effect."""
    session = connected_session()
    session.subscribe(TOPIC, now=0.0)

    session.receive(b"MESSAGE\nsubscription:sub-1\n\n{}\0", 1.0)
    session.receive(b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0", 1.0)
    session.tick(3.5)

    assert session.events() == [
        Confirmed(destination=TOPIC),
        Message(destination=TOPIC, body=b"{}"),
    ]


def test_messages_are_routed_by_subscription_id_alone() -> None:
    """Toss's messages have no destination; another destination is ignored."""
    session = subscribed_session()

    session.receive(b"MESSAGE\nsubscription:sub-1\ndestination:/elsewhere\n\n{}\0", 1.0)
    session.receive(b"MESSAGE\nsubscription:sub-9\n\n{}\0MESSAGE\n\n{}\0", 1.0)
    assert session.events_waiting == 3

    assert session.events() == [
        Message(destination=TOPIC, body=b"{}"),
        StrayMessage(subscription="sub-9"),
        StrayMessage(subscription=None),
    ]


def test_a_message_in_flight_after_unsubscribe_is_stray() -> None:
    session = subscribed_session()

    session.unsubscribe(TOPIC, now=1.0)
    session.unsubscribe(TOPIC, now=1.0)
    session.receive(
        b"MESSAGE\nsubscription:sub-1\n\n{}\0RECEIPT\nreceipt-id:sub-1-unsub_receipt\n\n\0", 1.0
    )

    assert session.data_to_send() == [b"UNSUBSCRIBE\nid:sub-1\nreceipt:sub-1-unsub_receipt\n\n\0"]
    assert session.events() == [StrayMessage(subscription="sub-1")]
    assert session.subscribed == frozenset()


def test_subscription_ids_stay_valid_across_connections() -> None:
    """In any order the same destinations get the same ids, so UNSUBSCRIBE names the right one."""
    ids = SubscriptionIds()
    first = connected_session(ids)
    first.subscribe("/topic/a", now=0.0)
    first.subscribe("/topic/b", now=0.0)
    second = connected_session(ids)

    second.receive(b"MESSAGE\nsubscription:sub-1\n\n{}\0", 0.0)
    second.subscribe("/topic/b", now=0.0)
    second.receive(b"MESSAGE\nsubscription:sub-2\n\n{}\0", 0.0)

    assert second.events() == [
        StrayMessage(subscription="sub-1"),
        Confirmed(destination="/topic/b"),
        Message(destination="/topic/b", body=b"{}"),
    ]


def test_an_unanswered_subscription_is_sent_again() -> None:
    """Back to back and under a new id: a late message of the old id is stray and none is missed."""
    session = connected_session(remote="0,0")
    session.subscribe("/topic/a", now=0.0)
    session.subscribe("/topic/b", now=1.0)
    assert session.deadline == 3.0

    session.tick(3.0)

    assert session.events() == [Unconfirmed(destination="/topic/a")]
    assert session.subscribed == {"/topic/a", "/topic/b"}
    assert [data.partition(b"\nid:")[::2] for data in session.data_to_send()[2:]] == [
        (b"UNSUBSCRIBE", b"sub-1\nreceipt:sub-1-unsub_receipt\n\n\0"),
        (b"SUBSCRIBE", b"sub-3\ndestination:/topic/a\nreceipt:sub-3-sub_receipt\n\n\0"),
    ]
    session.receive(
        b"MESSAGE\nsubscription:sub-1\n\n{}\0RECEIPT\nreceipt-id:sub-3-sub_receipt\n\n\0", 3.1
    )
    assert session.events() == [
        StrayMessage(subscription="sub-1"),
        Confirmed(destination="/topic/a"),
    ]


def test_a_server_without_receipts_is_not_asked_again() -> None:
    """Messages arrive and receipts never do: no receipt for a quiet stock is no refusal."""
    session = connected_session(remote="0,0")
    session.subscribe("/topic/quiet", now=0.0)
    session.subscribe("/topic/busy", now=0.0)
    session.receive(b"MESSAGE\nsubscription:sub-2\n\n{}\0", 1.0)
    session.data_to_send()
    session.events()

    session.tick(3.0)

    assert session.events() == [Confirmed(destination="/topic/quiet")]
    assert session.data_to_send() == []
    assert session.deadline is None


def test_a_server_with_receipts_must_confirm_each_subscription() -> None:
    session = connected_session(remote="0,0")
    session.subscribe("/topic/lost", now=0.0)
    session.subscribe("/topic/busy", now=0.0)
    session.receive(
        b"RECEIPT\nreceipt-id:sub-2-sub_receipt\n\n\0MESSAGE\nsubscription:sub-2\n\n{}\0", 1.0
    )
    session.events()

    session.tick(3.0)

    assert session.events() == [Unconfirmed(destination="/topic/lost")]


def test_an_unanswered_unsubscribe_is_forgotten() -> None:
    session = subscribed_session()
    session.unsubscribe(TOPIC, now=0.0)

    session.tick(3.0)

    assert session.events() == []
    assert session.deadline == 4.0


def test_an_error_names_the_subscription_that_caused_it() -> None:
    session = connected_session()
    session.subscribe(TOPIC, now=0.0)

    session.receive(b"ERROR\nreceipt-id:sub-1-sub_receipt\nmessage:unknown destination\n\n\0", 1.0)

    assert session.events() == [ErrorReceived(summary="unknown destination", destination=TOPIC)]
    assert session.closed


def test_a_receipt_without_an_id_is_an_error() -> None:
    session = connected_session()

    session.receive(b"RECEIPT\n\n\0", 1.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UnexpectedFrame)


def test_heart_beats_are_sent_early_and_only_when_idle() -> None:
    """After four of five promised seconds; any frame counts as a heart-beat."""
    session = connected_session()
    assert session.deadline == 4.0

    session.tick(3.9)
    assert session.data_to_send() == []
    session.tick(4.0)
    assert session.data_to_send() == [b"\n"]
    session.subscribe(TOPIC, now=6.0)
    session.data_to_send()
    session.tick(8.0)
    assert session.data_to_send() == []


def test_any_byte_counts_as_a_heart_beat_and_silence_ends_the_session() -> None:
    session = connected_session()

    session.receive(b"\n", 5.0)
    session.tick(14.9)
    assert session.events() == []
    session.tick(15.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, PeerSilent)
    assert session.deadline is None
    session.receive(b"NONSENSE\n\n\0", 16.0)
    session.tick(100.0)
    assert session.events() == []


def test_disconnect_is_confirmed_by_its_receipt() -> None:
    """Messages in flight still arrive before it."""
    session = subscribed_session()

    session.disconnect(now=1.0)
    session.receive(b"RECEIPT\nreceipt-id:other\n\n\0MESSAGE\nsubscription:sub-1\n\n{}\0", 1.1)
    session.receive(b"RECEIPT\nreceipt-id:disconnect-1\n\n\0MESSAGE\n\n\0", 1.2)

    assert session.data_to_send() == [b"DISCONNECT\nreceipt:disconnect-1\n\n\0"]
    assert session.events() == [
        Message(destination=TOPIC, body=b"{}"),
        Disconnected(confirmed=True),
    ]
    assert session.closed


def test_disconnect_waits_at_most_a_second() -> None:
    session = connected_session()
    session.disconnect(now=1.0)
    assert session.deadline == 1.0 + DISCONNECT_TIMEOUT_S

    session.tick(1.0 + DISCONNECT_TIMEOUT_S)

    assert session.events() == [Disconnected(confirmed=False)]
    assert session.closed


def test_misuse_raises_illegal_action() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)

    with pytest.raises(IllegalAction):
        session.subscribe(TOPIC, now=0.0)
    with pytest.raises(IllegalAction):
        session.disconnect(now=0.0)
    assert session.subscribed == frozenset()
