"""Messages for one client: complete ordered events, conflated ticks, and one last message."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.properties import examples
from trading.access_tokens import Bearer
from trading.account_events.push_messages import PushMessage, event_message, tick_message
from trading.account_events.push_session import (
    CODES_MAX,
    EVENTS_PAGE,
    KEEP_ALIVE_S,
    QUEUE_LENGTH_MAX,
    CatchUpRequest,
    PushSession,
    parse_event_id,
    parse_stock_codes,
)
from trading.account_events.stream import AccountEvent, EventKind
from trading.errors import ValidationFailed
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
SAMSUNG, HYNIX = "A005930", "A000660"
BEARER = Bearer(UUID(int=1), UUID(int=2), NOW + timedelta(minutes=15))


def event(number: int) -> AccountEvent:
    return AccountEvent(
        user_id=BEARER.user_id,
        id=number,
        kind=EventKind.CASH,
        occurred_at=NOW,
        data={"amount": number},
    )


def tick(place: int, code: str = SAMSUNG) -> Tick:
    return Tick(
        code=code,
        price=70_000 + place,
        volume=1,
        traded_at=NOW,
        received_at=NOW,
        position=Position(1_763_800_000_000, place),
    )


def offer(feed: PushSession, news: Tick) -> None:
    feed.offer_tick(news.code, news.position, tick_message(news))


def emitted(messages: Sequence[PushMessage]) -> list[tuple[str, int | None]]:
    return [(message.kind, message.event_id) for message in messages]


@dataclass
class FakeRedis:
    """A fake of the account's stream and the last ticks, answering a catch-up's commands."""

    events: list[AccountEvent] = field(default_factory=list)
    ticks: dict[str, Tick] = field(default_factory=dict)
    revoked: bool = False

    def answers(self, request: CatchUpRequest) -> list[object]:
        entries = [(f"{each.id}-0", {keys.ACCOUNT_FIELD: each.to_json()}) for each in self.events]
        answers: list[object] = ["1" if self.revoked else None, entries[-1:]]
        answers += [
            self.ticks[code].to_json() if code in self.ticks else None for code in request.codes
        ]
        if request.events and request.after is not None:
            behind = [
                entry
                for each, entry in zip(self.events, entries, strict=True)
                if each.id >= request.after
            ]
            answers.append(behind[: EVENTS_PAGE + 1])
        return answers

    def answer(self, feed: PushSession) -> None:
        request = feed.next_catch_up()
        assert request is not None
        feed.apply_catch_up(request, self.answers(request))


def feed_of(*codes: str, last_event_id: int | None = None) -> PushSession:
    return PushSession(BEARER, codes=codes, last_event_id=last_event_id, now=NOW)


def started_session(redis: FakeRedis, *codes: str, last_event_id: int | None = None) -> PushSession:
    """Return a session that has sent everything there was."""
    feed = feed_of(*codes, last_event_id=last_event_id)
    redis.answer(feed)
    while feed.take(NOW) or feed.next_catch_up():
        if feed.next_catch_up():
            redis.answer(feed)
    return feed


def test_new_client_starts_at_the_end_of_its_stream() -> None:
    """It gets the position, so that a connection lost before the first event loses nothing."""
    redis = FakeRedis(events=[event(7), event(8)], ticks={SAMSUNG: tick(1)})
    feed = feed_of(SAMSUNG, HYNIX)
    assert feed.take(NOW) == []

    redis.answer(feed)

    assert emitted(feed.take(NOW)) == [("ready", 8), ("tick", None)]
    feed.offer_event(9, event_message(event(9)))
    assert emitted(feed.take(NOW)) == [("cash", 9)]


@pytest.mark.parametrize(
    ("held", "last_event_id", "expected"),
    [
        pytest.param(range(1, 6), 3, [("ready", 3), ("cash", 4), ("cash", 5)], id="behind"),
        pytest.param(
            range(4, 6),
            3,
            [("ready", 3), ("cash", 4), ("cash", 5)],
            id="the next one is the oldest",
        ),
        pytest.param(range(1, 6), 5, [("ready", 5)], id="nothing new"),
        pytest.param(range(5, 6), 3, [("ready", 3), ("resync", None)], id="one is gone"),
        pytest.param(range(0), 3, [("ready", 3), ("resync", None)], id="all are gone"),
        pytest.param(range(0), 0, [("ready", 0), ("resync", None)], id="nothing is known"),
        pytest.param(range(1, 3), 5, [("ready", 5), ("resync", None)], id="ahead of the stream"),
    ],
)
def test_reconnecting_client_gets_missed_events_or_a_resync(
    held: range, last_event_id: int, expected: list[tuple[str, int | None]]
) -> None:
    feed = feed_of(last_event_id=last_event_id)
    FakeRedis(events=[event(number) for number in held]).answer(feed)

    messages = feed.take(NOW)

    assert emitted(messages) == expected
    assert messages[0].data == f'{{"last_event_id":{last_event_id}}}'
    if expected[-1][0] == "resync":
        assert messages[-1].data == f'{{"after":{last_event_id}}}'
    assert feed.next_catch_up() is None


def test_only_newer_events_follow_a_resync() -> None:
    feed = started_session(FakeRedis(events=[event(8), event(9)]), last_event_id=3)

    feed.offer_event(9, event_message(event(9)))
    feed.offer_event(10, event_message(event(10)))

    assert emitted(feed.take(NOW)) == [("cash", 10)]


def test_unreadable_entry_counts_as_missing() -> None:
    feed = feed_of(last_event_id=3)
    request = feed.next_catch_up()
    assert request is not None
    feed.apply_catch_up(request, [None, [("4-0", {"event": "{"})], [("4-0", {"event": "{"})]])

    assert emitted(feed.take(NOW)) == [("ready", 3), ("resync", None)]
    assert feed.next_catch_up() is None


def test_published_event_missing_from_the_stream_ends_in_a_resync() -> None:
    """Redis lost its data in between; the session must not read again and again."""
    feed = started_session(FakeRedis(events=[event(1)]))
    feed.offer_event(5, event_message(event(5)))
    FakeRedis(events=[event(1)]).answer(feed)

    assert emitted(feed.take(NOW)) == [("resync", None)]
    assert feed.next_catch_up() is None


def test_event_published_during_a_catch_up_is_read_next() -> None:
    """It was added after the answer was made."""
    redis = FakeRedis(events=[event(1)])
    feed = started_session(redis)
    feed.mark_reconnected()
    assert emitted(feed.take(NOW)) == [("status", None)]
    request = feed.next_catch_up()
    assert request is not None
    answers = redis.answers(request)
    redis.events.append(event(2))
    feed.offer_event(2, event_message(event(2)))
    feed.apply_catch_up(request, answers)
    assert feed.take(NOW) == []
    redis.answer(feed)

    assert emitted(feed.take(NOW)) == [("cash", 2)]


def test_ticks_conflate_and_never_go_back() -> None:
    """The latest tick of each stock waits; an older one, as a catch-up may return, is ignored."""
    feed = started_session(FakeRedis(), SAMSUNG, HYNIX)
    offer(feed, tick(1))
    offer(feed, tick(1, HYNIX))
    offer(feed, tick(3))
    offer(feed, tick(2))
    offer(feed, tick(9, "A035720"))

    assert [message.data for message in feed.take(NOW)] == [
        tick_message(tick(3)).data,
        tick_message(tick(1, HYNIX)).data,
    ]
    offer(feed, tick(3))
    assert feed.take(NOW) == []


def test_stocks_can_be_followed_and_unfollowed() -> None:
    redis = FakeRedis(ticks={SAMSUNG: tick(1), HYNIX: tick(2, HYNIX)})
    feed = started_session(redis, SAMSUNG)

    feed.follow([HYNIX, SAMSUNG])
    assert (request := feed.next_catch_up()) == CatchUpRequest(
        (HYNIX,), events=False, after=0, last_published_id=0
    )
    redis.answer(feed)
    assert [message.data for message in feed.take(NOW)] == [tick_message(tick(2, HYNIX)).data]
    assert request.codes == (HYNIX,)

    offer(feed, tick(3))
    feed.unfollow([SAMSUNG])
    offer(feed, tick(4))
    assert feed.take(NOW) == []
    assert feed.channels == [keys.account_channel(BEARER.user_id), keys.tick_channel(HYNIX)]


def test_client_follows_at_most_two_hundred_stocks() -> None:
    codes = [f"A{number:06}" for number in range(CODES_MAX)]
    feed = started_session(FakeRedis(), *codes)
    with pytest.raises(ValidationFailed):
        feed.follow(["A999999"])
    feed.unfollow(codes[:1])
    feed.follow(["A999999"])

    assert len(list(feed.codes)) == CODES_MAX


def test_everything_is_read_again_after_an_outage() -> None:
    """The client gets both status messages, then what it missed."""
    redis = FakeRedis(events=[event(1)], ticks={SAMSUNG: tick(1)})
    feed = started_session(redis, SAMSUNG)

    feed.mark_disconnected()
    assert [message.data for message in feed.take(NOW)] == ['{"live":false}']
    redis.events.append(event(2))
    redis.ticks[SAMSUNG] = tick(2)
    feed.mark_reconnected()
    assert emitted(feed.take(NOW)) == [("status", None)]
    redis.answer(feed)

    assert emitted(feed.take(NOW)) == [("cash", 2), ("tick", None)]


def test_long_absence_is_read_in_pages() -> None:
    """No more than a page waits in memory."""
    redis = FakeRedis(events=[event(number) for number in range(1, 2 * EVENTS_PAGE + 52)])
    feed = feed_of(last_event_id=1)
    got: list[tuple[str, int | None]] = []
    while feed.next_catch_up():
        redis.answer(feed)
        assert feed.next_catch_up() is None, "nothing is read while a page waits"
        got += emitted(feed.take(NOW))

    assert got == [("ready", 1), *[("cash", each.id) for each in redis.events[1:]]]


def test_full_queue_of_events_ends_the_connection() -> None:
    """Nothing is dropped: the client reconnects with its last id."""
    feed = started_session(FakeRedis(events=[event(1)]))
    for number in range(2, QUEUE_LENGTH_MAX + 3):
        assert not feed.ended
        feed.offer_event(number, event_message(event(number)))

    assert feed.ended
    assert feed.end is None
    assert feed.take(NOW) == []


def test_session_ends_when_the_token_expires() -> None:
    feed = started_session(FakeRedis())
    feed.offer_event(1, event_message(event(1)))
    feed.on_timer(BEARER.expires_at - timedelta(milliseconds=1))
    assert not feed.ended

    assert feed.on_timer(BEARER.expires_at)

    feed.offer_event(2, event_message(event(2)))
    assert emitted(feed.take(NOW)) == [("cash", 1), ("expired", None)]
    assert feed.ended
    assert feed.next_catch_up() is None


def test_ended_session_gets_nothing() -> None:
    redis = FakeRedis(events=[event(1)], ticks={SAMSUNG: tick(1)}, revoked=True)
    feed = feed_of(SAMSUNG, last_event_id=0)
    redis.answer(feed)

    assert emitted(feed.take(NOW)) == [("signed-out", None)]


def test_idle_connection_is_kept_alive() -> None:
    feed = started_session(FakeRedis(), SAMSUNG)
    almost, later = (NOW + timedelta(seconds=KEEP_ALIVE_S, milliseconds=ms) for ms in (-1, 0))
    assert not feed.on_timer(almost)
    assert feed.on_timer(later)
    assert [message.sse for message in feed.take(later)] == [b": keep-alive\n\n"]

    offer(feed, tick(1))
    feed.take(later)
    assert not feed.on_timer(later + (almost - NOW))


class AnyOutage(RuleBasedStateMachine):
    """Any sequence of publications, outages, trimmed or lost streams and late answers.

    The client gets each event once and in order, or a resync that says after which id to ask the
    database; in the end it has all events.
    """

    def __init__(self) -> None:
        super().__init__()
        self.redis = FakeRedis()
        self.newest = 0
        self.known_id = 0
        self.last_event_id = -1
        self.connected = True
        self.under_way: tuple[CatchUpRequest, list[object]] | None = None

    @initialize(before=st.integers(0, 4), last_event_id=st.none() | st.integers(0, 4))
    def connect(self, before: int, last_event_id: int | None) -> None:
        self.newest = before
        self.redis.events = [event(number) for number in range(1, before + 1)]
        self.known_id = min(last_event_id or 0, before)
        self.is_new = last_event_id is None
        self.feed = feed_of(last_event_id=None if self.is_new else self.known_id)

    @rule()
    def publish(self) -> None:
        self.newest += 1
        self.redis.events.append(event(self.newest))
        if self.connected:
            self.feed.offer_event(self.newest, event_message(event(self.newest)))

    @precondition(lambda self: self.connected and self.under_way is None)
    @rule()
    def ask(self) -> None:
        request = self.feed.next_catch_up()
        self.under_way = None if request is None else (request, self.redis.answers(request))

    @precondition(lambda self: self.under_way is not None)
    @rule()
    def answer(self) -> None:
        assert self.under_way is not None
        self.feed.apply_catch_up(*self.under_way)
        self.under_way = None

    @precondition(lambda self: self.connected)
    @rule()
    def lose(self) -> None:
        self.connected, self.under_way = False, None
        self.feed.mark_disconnected()

    @precondition(lambda self: not self.connected)
    @rule()
    def resume(self) -> None:
        self.connected = True
        self.feed.mark_reconnected()

    @rule()
    def trim(self) -> None:
        del self.redis.events[:1]

    @rule()
    def wipe(self) -> None:
        self.redis.events.clear()

    @rule()
    def take(self) -> None:
        for message in self.feed.take(NOW):
            if message.kind == "resync" or (message.kind == "ready" and self.is_new):
                # Here the client asks over HTTP, a new one for the account's state: both answers
                # contain everything up to now.
                self.known_id = self.newest
            elif message.kind == "cash":
                assert message.event_id is not None
                assert self.last_event_id < message.event_id <= self.known_id + 1
                self.last_event_id = message.event_id
                self.known_id = max(self.known_id, self.last_event_id)

    def teardown(self) -> None:
        if not hasattr(self, "feed"):
            return
        if not self.connected:
            self.resume()
        if self.under_way is not None:
            self.answer()
        for _ in range(4):
            self.take()
            if self.feed.next_catch_up():
                self.redis.answer(self.feed)
        assert self.feed.next_catch_up() is None
        assert self.known_id == self.newest


TestAnyOutage = AnyOutage.TestCase
TestAnyOutage.settings = settings(deadline=None, max_examples=examples(200))


@pytest.mark.parametrize("text", ["-1", "1.5", "٣", " 1", "1" * 16, "true", [], True, 1.0, {}])
def test_last_event_id_must_be_a_whole_number(text: object) -> None:
    with pytest.raises(ValidationFailed):
        parse_event_id(text)


def test_missing_last_event_id_is_none() -> None:
    assert [parse_event_id(given) for given in (None, "", "0", "12", 12)] == [None, None, 0, 12, 12]


def test_stock_codes_are_normalized_and_limited() -> None:
    assert parse_stock_codes(["005930", "a005930", "A000660"]) == (SAMSUNG, HYNIX)
    for faulty in (
        ["Samsung"],
        [None],
        [5930],
        [f"{number:06}" for number in range(CODES_MAX + 1)],
    ):
        with pytest.raises(ValidationFailed):
            parse_stock_codes(faulty)
