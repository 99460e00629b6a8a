"""The quote book over a real Redis server: one round trip, soon an answer or a failure, whatever lies in the keys."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from tests.support.servers import Valkey
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.subscriptions import Source, publish_subscriptions
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys
from trading.redis.client import connect

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
CODES = [f"A{number:06}" for number in range(300)]


def tick(code: str, price: int = 70_000) -> Tick:
    return Tick(
        code=code,
        price=price,
        base=None,
        volume=1,
        cumulative_volume=None,
        trade_type=None,
        change_type=None,
        session=None,
        exchange=None,
        traded_at=NOW,
        received_at=NOW,
        position=Position(1, 1),
    )


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        yield client


def calls(client: Redis) -> dict[str, int]:
    return {
        name.removeprefix("cmdstat_"): one["calls"]
        for name, one in client.info("commandstats").items()
    }


def test_many_ticks_are_one_round_trip(client: Redis) -> None:
    """Three hundred stocks cost the server a single command."""
    client.mset({keys.last_tick(code): tick(code).to_json() for code in CODES})
    client.config_resetstat()

    ticks = QuoteStore(client).last_ticks([*CODES, CODES[0], "A999999"])

    assert ticks == {code: tick(code) for code in CODES}
    assert {name: count for name, count in calls(client).items() if name in {"mget", "get"}} == {
        "mget": 1
    }


def test_no_stock_is_no_round_trip(client: Redis) -> None:
    """Asking for nothing asks nobody."""
    client.config_resetstat()
    assert QuoteStore(client).last_ticks([]) == {}
    assert "mget" not in calls(client)


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"{}", b"\xff\xfe\x80", b"[" * 5_000, tick("A000660").to_json().encode()],
    ids=range(6),
)
def test_a_malformed_entry_is_passed_over(client: Redis, value: bytes) -> None:
    """Garbage under one key, another stock's tick included, hides neither the other stocks nor raises."""
    client.set(keys.last_tick("A005930"), value)
    client.set(keys.last_tick("A035420"), tick("A035420").to_json())

    book = QuoteStore(client)

    assert list(book.last_ticks(["A005930", "A035420"])) == ["A035420"]
    assert book.last_tick("A005930") is None
    assert list(book.all_ticks()) == ["A035420"]


def test_a_key_of_another_kind_is_passed_over(client: Redis) -> None:
    """A hash where a string should be is no tick."""
    client.hset(keys.last_tick("A005930"), "price", "1")
    assert QuoteStore(client).last_tick("A005930") is None


def test_all_ticks_are_found(client: Redis) -> None:
    """Every stock with a tick, however many there are, and no other key."""
    client.mset({keys.last_tick(code): tick(code).to_json() for code in CODES})
    client.set(keys.RELAYER_HEALTH, "{}")
    assert set(QuoteStore(client).all_ticks()) == set(CODES)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b'{"pid": 1}',
        b"[" * 100_000,
        b'{"started_at": null, "updated_at": null, "last_tick_at": null}',
        b'{"started_at": "0001-01-01T00:00:00+14:00", "updated_at": 1, "last_tick_at": 1}',
    ],
    ids=range(10),
)
def test_a_malformed_health_record_is_none(client: Redis, value: bytes) -> None:
    """A record that can't be read is treated as no record."""
    client.set(keys.RELAYER_HEALTH, value)
    assert QuoteStore(client).relayer_health() is None


def every_question_fails(client: Redis) -> None:
    """Each question raises MarketUnavailable."""
    book = QuoteStore(client)
    questions = (
        lambda: book.last_tick("A005930"),
        book.all_ticks,
        book.relayer_health,
        lambda: publish_subscriptions(client, {"A005930": Source.HOLDINGS}),
    )
    for question in questions:
        with pytest.raises(MarketUnavailable):
            question()


def test_a_server_that_is_gone_is_a_market_unavailable(
    valkey_server: Valkey, client: Redis
) -> None:
    """Stopped under an open connection: each question fails with an error of this package; after the restart it is answered."""
    client.ping()
    valkey_server.stop()
    try:
        every_question_fails(client)
    finally:
        valkey_server.start()
    assert QuoteStore(client).last_tick("A005930") is None


def test_a_server_that_hangs_is_a_market_unavailable(valkey_server: Valkey, client: Redis) -> None:
    """Frozen with the connection open: no question waits for an answer without end."""
    client.ping()
    valkey_server.pause()
    try:
        every_question_fails(client)
    finally:
        valkey_server.resume()
    assert QuoteStore(client).last_tick("A005930") is None
