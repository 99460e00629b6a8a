"""The API's own stream of server-sent events: the same messages as the gateway's, from one of few threads."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.books import HYNIX, SAMSUNG, opened, settings_for
from tests.servers import Valkey, wait_until
from tests.webapp.client import PASSWORD, PREFIX, Api, Person, api_on, data_of, problem_of
from trading.market import keys
from trading.market.account_events import AccountEvent, AccountStreams, EventKind
from trading.market.push_feed import KEEP_ALIVE_S
from webapp.push_stream import Peer

PATH = "/trading/realtime/stream"


@dataclass
class Event:
    type: str
    data: Any
    id: int | None


class Stream:
    """An open stream, parsed as it comes."""

    def __init__(self, answer: TestResponse) -> None:
        assert (answer.status_code, answer.mimetype) == (200, "text/event-stream"), answer.get_data(
            as_text=True
        )
        assert answer.headers["Cache-Control"] == "no-store"
        self._answer = answer
        self._pieces = answer.iter_encoded()
        self._text = ""

    def block(self) -> str:
        """The next lines up to an empty one; StopIteration at the end."""
        while "\n\n" not in self._text:
            self._text += next(self._pieces).decode()
        block, _, self._text = self._text.partition("\n\n")
        return block

    def next(self) -> Event:
        """The next event; comments and ``retry`` alone are passed over."""
        while True:
            fields = dict(line.split(": ", 1) for line in self.block().split("\n"))
            if "event" in fields:
                return Event(
                    fields["event"],
                    json.loads(fields["data"]),
                    int(fields["id"]) if "id" in fields else None,
                )

    def close(self) -> None:
        self._answer.close()


@contextmanager
def stream(api: Api, who: Person, *codes: str, **more: Any) -> Iterator[Stream]:
    client = api.app.test_client()
    answer = client.get(
        PREFIX + PATH,
        query_string=[("stock_codes", code) for code in codes],
        headers={**who.headers, **more},
    )
    opened_stream = Stream(answer)
    try:
        yield opened_stream
    finally:
        opened_stream.close()


def publish(api: Api, who: Person, *ids: int) -> None:
    AccountStreams(api.books.core.redis).append(
        [
            AccountEvent(
                user_id=UUID(who.id),
                id=number,
                kind=EventKind.CASH,
                occurred_at=api.books.clock(),
                data={"no": number},
            )
            for number in ids
        ],
        anew=True,
    )


def add(api: Api, who: Person, *ids: int) -> None:
    event = [
        AccountEvent(
            user_id=UUID(who.id),
            id=number,
            kind=EventKind.FILL,
            occurred_at=api.books.clock(),
            data={},
        )
        for number in ids
    ]
    AccountStreams(api.books.core.redis).append(event)


def tell(api: Api, price: int, code: str = SAMSUNG) -> None:
    """A trade, as the relayer tells of it."""
    api.books.core.redis.publish(keys.tick_channel(code), api.books.tick(price, code).to_json())


def test_ticks_and_own_events_come_as_they_happen(sqlite_api: Api) -> None:
    alice, bob = sqlite_api.person(), sqlite_api.person()
    publish(sqlite_api, alice, 1, 2)
    sqlite_api.books.tick(70_000, base=69_000)
    with stream(sqlite_api, alice, "005930", HYNIX) as events:
        assert events.block().startswith("retry: ")
        ready, snapshot = events.next(), events.next()
        assert (ready.type, ready.id, ready.data) == ("ready", 2, {"last_event_id": 2})
        quote = data_of(sqlite_api.get(f"/trading/realtime/stock/{SAMSUNG}", alice))
        assert snapshot.type == "tick"
        assert snapshot.data == {
            name: value for name, value in quote.items() if name not in ("age_ms", "freshness")
        }

        add(sqlite_api, bob, 1)
        add(sqlite_api, alice, 3)
        fill = events.next()
        assert (fill.type, fill.id, fill.data["id"]) == ("fill", 3, 3)
        tell(sqlite_api, 200_000, HYNIX)
        assert events.next().data["price"] == 200_000


def test_a_client_that_comes_again_gets_what_it_missed(sqlite_api: Api) -> None:
    alice = sqlite_api.person()
    publish(sqlite_api, alice, *range(1, 251))
    with stream(sqlite_api, alice, **{"Last-Event-ID": "3"}) as events:
        assert [events.next().id for _ in range(248)] == list(range(3, 251))
        add(sqlite_api, alice, 251)
        assert events.next().id == 251
    with stream(sqlite_api, alice, **{"Last-Event-ID": "0"}) as events:
        assert events.next().id == 0
        assert events.next().id == 1
    sqlite_api.books.core.redis.delete(keys.account_stream(UUID(alice.id)))
    with stream(sqlite_api, alice, **{"Last-Event-ID": "3"}) as events:
        assert events.next().id == 3
        resync = events.next()
        assert (resync.type, resync.data, resync.id) == ("resync", {"after": 3}, None)


def test_what_an_order_does_arrives(sqlite_api: Api) -> None:
    """The whole way: the events of an order that is filled come by themselves, numbered without a gap."""
    alice = sqlite_api.person()
    sqlite_api.books.tick(70_000)
    with stream(sqlite_api, alice) as events:
        place = events.next().id
        sqlite_api.bought(alice)
        got = [events.next() for _ in range(3)]
        assert place is not None
        assert [event.id for event in got] == [place + 1, place + 2, place + 3]


@pytest.mark.parametrize("query", ["stock_codes=Samsung", "last_event_id=-1", "last_event_id=x"])
def test_nonsense_is_refused(sqlite_api: Api, query: str) -> None:
    alice = sqlite_api.person()
    problem_of(sqlite_api.get(f"{PATH}?{query}", alice), "validation-failed")
    codes = "&".join(f"stock_codes={number:06}" for number in range(201))
    problem_of(sqlite_api.get(f"{PATH}?{codes}", alice), "validation-failed")


def test_streams_are_few_and_a_closed_one_frees_its_place(
    migrated_sqlite: str, valkey_url: str
) -> None:
    with opened(settings_for(migrated_sqlite, valkey_url, stream_clients_max=2)) as books:
        api = api_on(books)
        alice = api.person()
        with stream(api, alice) as first, stream(api, alice) as second:
            assert (first.next().type, second.next().type) == ("ready", "ready")
            assert problem_of(api.get(PATH, alice), "too-many-streams")["limit"] == 2
            assert api.ask("HEAD", PATH, alice).status_code == 200
        with stream(api, alice) as again:
            assert again.next().type == "ready"
        wait_until(
            lambda: not api.books.core.redis.pubsub_channels("*"),
            what="nothing is subscribed any more",
        )


def test_a_stream_holds_no_connection_to_the_database(sqlite_api: Api) -> None:
    alice = sqlite_api.person()
    with stream(sqlite_api, alice) as events:
        assert events.next().type == "ready"
        assert sqlite_api.books.core.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_quiet_stream_is_kept_alive(sqlite_api: Api) -> None:
    alice = sqlite_api.person()
    with stream(sqlite_api, alice) as events:
        assert events.next().type == "ready"
        sqlite_api.books.clock.advance(seconds=KEEP_ALIVE_S)
        assert events.block() == ": keep-alive"


def test_a_token_that_expires_ends_the_stream(sqlite_api: Api) -> None:
    alice = sqlite_api.person()
    with stream(sqlite_api, alice) as events:
        assert events.next().type == "ready"
        sqlite_api.books.clock.advance(days=3_650)
        assert events.next().type == "expired"
        with pytest.raises(StopIteration):
            events.next()


def logout(api: Api, who: Person) -> None:
    data_of_done(api.post("/users/logout", who))


def other_password(api: Api, who: Person) -> None:
    other = api.signed_in(who.email)
    body = {"current_password": PASSWORD, "new_password": "another horse battery"}
    data_of_done(api.post("/users/me/password", other, json=body))


def close_account(api: Api, who: Person) -> None:
    data_of_done(api.ask("DELETE", "/users/me", who))


def reuse(api: Api, who: Person) -> None:
    """A refresh token that is used twice is in two hands."""
    bearer = {"Authorization": f"Bearer {who.refresh_token}"}
    assert api.post("/users/refresh", headers=bearer).status_code == 200
    problem_of(api.post("/users/refresh", headers=bearer), "unauthorized")


def data_of_done(answer: TestResponse) -> None:
    assert data_of(answer) is None


@pytest.mark.parametrize("ending", [logout, other_password, close_account, reuse])
def test_a_session_that_ends_ends_its_streams(sqlite_api: Api, ending: Any) -> None:
    """And leaves a mark for whoever comes to the gateway with its token."""
    alice = sqlite_api.person()
    bystander = sqlite_api.person()
    with stream(sqlite_api, alice) as events, stream(sqlite_api, bystander, SAMSUNG) as spared:
        assert (events.next().type, spared.next().type) == ("ready", "ready")
        ending(sqlite_api.another_client(), alice)
        while (event := events.next()).type != "signed-out":
            assert event.type == "cash"
        with pytest.raises(StopIteration):
            events.next()
        tell(sqlite_api, 70_000)
        assert spared.next().type == "tick"
    marks = [
        key for key in sqlite_api.books.core.redis.scan_iter() if key.startswith("revoked_session:")
    ]
    assert len(marks) == 1
    assert 0 < sqlite_api.books.core.redis.ttl(marks[0]) <= 15 * 60


def test_redis_may_go_and_come_back(sqlite_api: Api, valkey_server: Valkey) -> None:
    alice = sqlite_api.person()
    publish(sqlite_api, alice, 1)
    with stream(sqlite_api, alice, SAMSUNG) as events:
        assert events.next().type == "ready"
        valkey_server.stop()
        try:
            assert events.next().data == {"live": False}
            problem_of(sqlite_api.get(PATH, alice), "upstream-unavailable")
        finally:
            valkey_server.start()
        assert events.next().data == {"live": True}
        assert events.next().data == {"after": 1}
        tell(sqlite_api, 70_000)
        assert events.next().data["price"] == 70_000


def test_signing_out_works_without_redis(sqlite_api: Api, valkey_server: Valkey) -> None:
    alice = sqlite_api.person()
    valkey_server.stop()
    try:
        logout(sqlite_api, alice)
        problem_of(sqlite_api.get("/users/me", alice), "unauthorized")
    finally:
        valkey_server.start()


def test_a_worker_that_ends_takes_leave(sqlite_api: Api) -> None:
    alice = sqlite_api.person()
    with stream(sqlite_api, alice) as events:
        assert events.next().type == "ready"
        sqlite_api.app.extensions["stocking.serving"] = lambda: False
    with stream(sqlite_api, alice) as events:
        assert [events.next().type for _ in range(2)] == ["ready", "closing"]
        with pytest.raises(StopIteration):
            events.next()


def test_a_peer_that_takes_nothing_is_cut_and_one_that_is_gone_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(ours, stall_s=0.05)
        assert peer.takes_more()
        assert not peer.is_gone()
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while ours.send(b"x" * 65_536):
                pass
        assert not peer.takes_more()
        assert peer.is_gone()
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert Peer(ours, stall_s=0.05).is_gone()


def test_threads_do_not_share_a_stream_s_place_twice(sqlite_api: Api) -> None:
    """However many ask at once, no more are let in than there are places."""
    alice = sqlite_api.person()
    statuses: list[int] = []
    answers: list[TestResponse] = []

    def ask() -> None:
        answer = sqlite_api.app.test_client().get(PREFIX + PATH, headers=alice.headers)
        statuses.append(answer.status_code)
        answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        answer.close()

    assert sorted(statuses) == [200] * 4 + [503] * 8
