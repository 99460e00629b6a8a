"""Streams of account events in Redis: the latest events without gaps, in any order of appends."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey
from trading.account_events.stream import (
    AccountEvent,
    AccountStreams,
    EventKind,
    EventSlice,
    MalformedEvent,
)
from trading.redis import keys

WHOSE = UUID(int=7)
AT = datetime(2026, 11, 22, 1, 2, 3, 456_000, tzinfo=UTC)


def event(number: int, whose: UUID = WHOSE) -> AccountEvent:
    return AccountEvent(
        user_id=whose, id=number, kind=EventKind.CASH, occurred_at=AT, data={"amount": number}
    )


def events(first: int, last: int, whose: UUID = WHOSE) -> list[AccountEvent]:
    return [event(number, whose) for number in range(first, last + 1)]


@pytest.fixture
def client(valkey_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        yield client


def test_appended_events_are_stored_and_published(client: "redis.Redis") -> None:
    streams = AccountStreams(client)
    with client.pubsub(ignore_subscribe_messages=True) as push:
        push.subscribe(keys.account_channel(WHOSE))
        push.get_message(timeout=DEADLINE_S)
        assert streams.append(events(1, 3)) == {}
        pushed = [push.get_message(timeout=DEADLINE_S) for _ in range(3)]

    assert [message and message["data"] for message in pushed] == [
        one.to_json() for one in events(1, 3)
    ]
    assert streams.after(WHOSE, 1, limit=10) == EventSlice(tuple(events(2, 3)), complete=True)
    assert streams.after(WHOSE, 0, limit=2) == EventSlice(tuple(events(1, 2)), complete=True)
    assert streams.last_ids([WHOSE, uuid4()]) == {WHOSE: 3}
    assert 0 < client.ttl(keys.account_stream(WHOSE)) <= keys.ACCOUNT_STREAM_TTL_S


def test_streams_of_users_are_separate(client: "redis.Redis") -> None:
    other = UUID(int=8)
    streams = AccountStreams(client)

    assert streams.append([event(1), event(1, other), event(2, other)]) == {}
    assert streams.after(WHOSE, 0, limit=10).events == (event(1),)
    assert streams.after(other, 0, limit=10).events == (event(1, other), event(2, other))


def test_events_already_in_the_stream_are_skipped(client: "redis.Redis") -> None:
    streams = AccountStreams(client)
    streams.append(events(1, 2))

    assert streams.append(events(1, 3)) == {}
    assert streams.append(events(2, 2)) == {}
    assert streams.after(WHOSE, 0, limit=10) == EventSlice(tuple(events(1, 3)), complete=True)


def test_append_with_a_gap_adds_nothing_and_returns_the_last_id(client: "redis.Redis") -> None:
    """The caller then appends the missing events first."""
    streams = AccountStreams(client)
    streams.append(events(1, 2))

    assert streams.append(events(5, 6)) == {WHOSE: 2}
    assert streams.append(events(3, 6)) == {}
    assert streams.after(WHOSE, 0, limit=10) == EventSlice(tuple(events(1, 6)), complete=True)


def test_slice_of_a_restarted_stream_is_incomplete(client: "redis.Redis") -> None:
    streams = AccountStreams(client)

    assert not streams.after(WHOSE, 4, limit=10).complete
    assert streams.append(events(7, 8)) == {}
    assert streams.after(WHOSE, 4, limit=10) == EventSlice(tuple(events(7, 8)), complete=False)
    assert streams.after(WHOSE, 6, limit=10) == EventSlice(tuple(events(7, 8)), complete=True)
    assert streams.after(WHOSE, 8, limit=10) == EventSlice((), complete=True)
    assert streams.append(events(20, 21), restart=True) == {}
    assert streams.after(WHOSE, 8, limit=10) == EventSlice(tuple(events(20, 21)), complete=False)


def test_id_beyond_the_stream_gives_an_incomplete_slice(client: "redis.Redis") -> None:
    streams = AccountStreams(client)
    streams.append(events(1, 2))

    assert streams.after(WHOSE, 99, limit=10) == EventSlice((), complete=False)


def test_stream_is_capped(client: "redis.Redis") -> None:
    streams = AccountStreams(client)
    last = keys.ACCOUNT_STREAM_MAXLEN + 5
    streams.append(events(1, last))

    assert client.xlen(keys.account_stream(WHOSE)) == keys.ACCOUNT_STREAM_MAXLEN
    assert not streams.after(WHOSE, 4, limit=10).complete
    assert streams.after(WHOSE, 5, limit=1) == EventSlice((event(6),), complete=True)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=20))
def test_appends_in_any_order_leave_no_gap(
    valkey_server: Valkey, batches: list[tuple[int, int]]
) -> None:
    """Early, late and repeated batches: ids increase by one from the stream's first."""
    whose = uuid4()
    with redis.Redis.from_url(valkey_server.url, decode_responses=True) as client:
        streams = AccountStreams(client)
        for first, more in batches:
            streams.append(events(first, first + more, whose))
        ids = [
            int(entry[0].partition("-")[0]) for entry in client.xrange(keys.account_stream(whose))
        ]
        client.delete(keys.account_stream(whose))

    assert ids == list(range(batches[0][0], batches[0][0] + len(ids)))


def test_events_of_one_user_must_be_consecutive(client: "redis.Redis") -> None:
    with pytest.raises(ValueError, match="consecutive"):
        AccountStreams(client).append([event(1), event(3)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"id":0,"kind":"cash","occurred_at":"2026-11-22T00:00:00+00:00","data":{}}',
        '{"id":true,"kind":"cash","occurred_at":"2026-11-22T00:00:00+00:00","data":{}}',
        '{"id":1,"kind":"gift","occurred_at":"2026-11-22T00:00:00+00:00","data":{}}',
        '{"id":1,"kind":"cash","occurred_at":"yesterday","data":{}}',
        '{"id":1,"kind":"cash","occurred_at":"2026-11-22T00:00:00+00:00","data":[]}',
        "[" * 100_000,
    ],
)
def test_malformed_event_is_refused(text: str) -> None:
    with pytest.raises(MalformedEvent):
        AccountEvent.from_json(text, user_id=WHOSE)


def test_event_equals_its_parsed_json() -> None:
    one = AccountEvent(
        user_id=WHOSE, id=3, kind=EventKind.HOLDING, occurred_at=AT, data={"이름": "삼성전자"}
    )

    assert AccountEvent.from_json(one.to_json(), user_id=WHOSE) == one
