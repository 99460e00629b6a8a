"""The client's side: what it sends, what it makes of the server's answers, and what time asks of it."""

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
    """A session that stands since instant 0, with nothing waiting in it."""
    session = ClientSession(ids or SubscriptionIds(), heart_beat=BEATS, receipt_timeout_s=3.0)
    session.connect(host="feed", headers=(), now=0.0)
    session.receive(f"CONNECTED\nversion:1.2\nheart-beat:{remote}\n\n\0".encode(), 0.0)
    session.data_to_send()
    session.events()
    return session


def subscribed_session() -> ClientSession:
    """The same, subscribed to TOPIC as ``sub-1`` and confirmed."""
    session = connected_session()
    session.subscribe(TOPIC, now=0.0)
    session.receive(b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0", 0.0)
    session.data_to_send()
    session.events()
    return session


def test_connect_says_who_we_are() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)

    session.connect(host="feed", headers=(("authorization", "a:b"),), now=0.0)

    assert session.has_data_to_send
    assert session.data_to_send() == [
        b"CONNECT\naccept-version:1.2\nhost:feed\nheart-beat:5000,5000\nauthorization:a:b\n\n\0"
    ]
    assert session.state is State.CONNECTING
    assert not session.has_data_to_send


def test_connected_tells_the_agreed_beats() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(b"CONNECTED\nversion:1.2\nheart-beat:7000,0\n\n\0", 1.0)

    assert session.events() == [Connected(version="1.2", beat_every_s=None, expect_every_s=7.0)]


def test_a_server_that_names_no_version_speaks_the_first() -> None:
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
def test_a_wrong_answer_to_connect_ends_the_session(answer: bytes, error: type[Exception]) -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive(answer, 0.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, error)
    assert session.closed


def test_no_answer_to_connect_is_silence() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)
    assert session.deadline == CONNECTED_TIMEOUT_S

    session.tick(CONNECTED_TIMEOUT_S - 0.01)
    assert session.events() == []
    session.tick(CONNECTED_TIMEOUT_S)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, PeerSilent)


def test_a_refusal_comes_with_the_servers_words() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)
    session.connect(host="feed", headers=(), now=0.0)

    session.receive("ERROR\n\n토큰이 없다\0".encode(), 0.0)

    assert session.events() == [ErrorReceived(summary="토큰이 없다", destination=None)]
    assert session.closed


def test_a_server_of_other_versions_refuses_with_its_own_words() -> None:
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
    """A session whose server names an older version, or none, although 1.2 was asked for."""
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
def test_we_speak_as_the_server_answers(version: Version, spelling: bytes) -> None:
    """What follows its CONNECTED in the same message is read by its version as well."""
    session = session_of(version)

    session.subscribe("a\\:b", now=0.0)
    session.receive(b"ERROR\nmessage:" + spelling + b"\n\n\0", 0.0)

    assert b"\ndestination:" + spelling + b"\n" in session.data_to_send()[0]
    assert session.events() == [ErrorReceived(summary="a\\:b", destination=None)]


@pytest.mark.parametrize(
    ("version", "octet"), [(Version.V1_1, "\r"), (Version.V1_0, "\n"), (Version.V1_2, "\0")]
)
def test_a_destination_that_the_version_cannot_write_is_the_callers_mistake(
    version: Version, octet: str
) -> None:
    session = session_of(version)

    with pytest.raises(IllegalAction):
        session.subscribe(f"/topic/a{octet}", now=0.0)

    assert session.subscribed == frozenset()
    assert not session.has_data_to_send


def test_a_destination_is_spelled_as_the_server_wants_it() -> None:
    """Only in SUBSCRIBE: everywhere else it is ours."""
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


def test_subscribe_asks_for_a_receipt_and_is_confirmed_by_it() -> None:
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


def test_a_first_message_confirms_as_well_as_a_receipt() -> None:
    """A server that sends no receipts is served all the same; one that comes late says nothing new."""
    session = connected_session()
    session.subscribe(TOPIC, now=0.0)

    session.receive(b"MESSAGE\nsubscription:sub-1\n\n{}\0", 1.0)
    session.receive(b"RECEIPT\nreceipt-id:sub-1-sub_receipt\n\n\0", 1.0)
    session.tick(3.5)

    assert session.events() == [
        Confirmed(destination=TOPIC),
        Message(destination=TOPIC, body=b"{}"),
    ]


def test_messages_are_routed_by_subscription_alone() -> None:
    """Toss's messages have no destination; one that has another is not believed."""
    session = subscribed_session()

    session.receive(b"MESSAGE\nsubscription:sub-1\ndestination:/elsewhere\n\n{}\0", 1.0)
    session.receive(b"MESSAGE\nsubscription:sub-9\n\n{}\0MESSAGE\n\n{}\0", 1.0)
    assert session.events_waiting == 3

    assert session.events() == [
        Message(destination=TOPIC, body=b"{}"),
        StrayMessage(subscription="sub-9"),
        StrayMessage(subscription=None),
    ]


def test_a_message_in_flight_after_unsubscribing_is_astray() -> None:
    session = subscribed_session()

    session.unsubscribe(TOPIC, now=1.0)
    session.unsubscribe(TOPIC, now=1.0)
    session.receive(
        b"MESSAGE\nsubscription:sub-1\n\n{}\0RECEIPT\nreceipt-id:sub-1-unsub_receipt\n\n\0", 1.0
    )

    assert session.data_to_send() == [b"UNSUBSCRIBE\nid:sub-1\nreceipt:sub-1-unsub_receipt\n\n\0"]
    assert session.events() == [StrayMessage(subscription="sub-1")]
    assert session.subscribed == frozenset()


def test_ids_keep_their_meaning_over_connections() -> None:
    """After a reconnect the same destinations have the same ids, whatever the order, so UNSUBSCRIBE names the right one."""
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


def test_a_subscription_without_an_answer_is_asked_for_again() -> None:
    """In one breath and under a new id, so that a late message of the old one is astray and none is missed."""
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


def test_a_server_without_receipts_is_not_asked_again_and_again() -> None:
    """Messages come and receipts never do: then its silence about a quiet stock is no refusal."""
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


def test_a_server_with_receipts_owes_every_one() -> None:
    """One that confirmed something else has lost this one."""
    session = connected_session(remote="0,0")
    session.subscribe("/topic/lost", now=0.0)
    session.subscribe("/topic/busy", now=0.0)
    session.receive(
        b"RECEIPT\nreceipt-id:sub-2-sub_receipt\n\n\0MESSAGE\nsubscription:sub-2\n\n{}\0", 1.0
    )
    session.events()

    session.tick(3.0)

    assert session.events() == [Unconfirmed(destination="/topic/lost")]


def test_an_unsubscription_without_an_answer_is_forgotten() -> None:
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


def test_a_receipt_for_nothing_is_a_fault() -> None:
    session = connected_session()

    session.receive(b"RECEIPT\n\n\0", 1.0)

    [failed] = session.events()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UnexpectedFrame)


def test_beats_go_out_before_they_are_due_and_not_when_something_else_went() -> None:
    """Four seconds for a promise of five; a frame counts as a beat."""
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


def test_any_octet_is_a_sign_of_life_and_silence_is_death() -> None:
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


def test_farewell_is_confirmed_by_its_receipt() -> None:
    """What was in flight still arrives before it."""
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


def test_farewell_waits_a_second_at_most() -> None:
    session = connected_session()
    session.disconnect(now=1.0)
    assert session.deadline == 1.0 + DISCONNECT_TIMEOUT_S

    session.tick(1.0 + DISCONNECT_TIMEOUT_S)

    assert session.events() == [Disconnected(confirmed=False)]
    assert session.closed


def test_a_callers_mistake_raises() -> None:
    session = ClientSession(SubscriptionIds(), heart_beat=BEATS)

    with pytest.raises(IllegalAction):
        session.subscribe(TOPIC, now=0.0)
    with pytest.raises(IllegalAction):
        session.disconnect(now=0.0)
    assert session.subscribed == frozenset()
