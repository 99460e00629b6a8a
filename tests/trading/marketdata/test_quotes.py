"""QuoteStore on a real Redis server: round trips, malformed entries and outages."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from tests.support.servers import Valkey
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.subscriptions import SubscriptionSource, publish_subscriptions
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


def test_many_ticks_take_one_round_trip(client: Redis) -> None:
    client.mset({keys.last_tick(code): tick(code).to_json() for code in CODES})
    client.config_resetstat()

    ticks = QuoteStore(client).last_ticks([*CODES, CODES[0], "A999999"])

    assert ticks == {code: tick(code) for code in CODES}
    assert {name: count for name, count in calls(client).items() if name in {"mget", "get"}} == {
        "mget": 1
    }


def test_no_codes_take_no_round_trip(client: Redis) -> None:
    client.config_resetstat()
    assert QuoteStore(client).last_ticks([]) == {}
    assert "mget" not in calls(client)


@pytest.mark.parametrize(
    "value",
    [b"", b"null", b"{}", b"\xff\xfe\x80", b"[" * 5_000, tick("A000660").to_json().encode()],
    ids=range(6),
)
def test_malformed_tick_is_ignored(client: Redis, value: bytes) -> None:
    """Also a tick of another stock. Other stocks are still returned."""
    client.set(keys.last_tick("A005930"), value)
    client.set(keys.last_tick("A035420"), tick("A035420").to_json())

    quotes = QuoteStore(client)

    assert list(quotes.last_ticks(["A005930", "A035420"])) == ["A035420"]
    assert quotes.last_tick("A005930") is None
    assert list(quotes.all_ticks()) == ["A035420"]


def test_key_of_another_type_is_ignored(client: Redis) -> None:
    client.hset(keys.last_tick("A005930"), "price", "1")
    assert QuoteStore(client).last_tick("A005930") is None


def test_all_ticks_returns_every_stock(client: Redis) -> None:
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
def test_malformed_health_record_is_none(client: Redis, value: bytes) -> None:
    client.set(keys.RELAYER_HEALTH, value)
    assert QuoteStore(client).relayer_health() is None


def assert_all_calls_fail(client: Redis) -> None:
    """Assert that each method raises MarketUnavailable."""
    quotes = QuoteStore(client)
    methods = (
        lambda: quotes.last_tick("A005930"),
        quotes.all_ticks,
        quotes.relayer_health,
        lambda: quotes.request_subscription("A005930", now=datetime.now(UTC)),
        lambda: publish_subscriptions(client, {"A005930": SubscriptionSource.HOLDINGS}),
    )
    for method in methods:
        with pytest.raises(MarketUnavailable):
            method()


def test_stopped_redis_raises_market_unavailable(valkey_server: Valkey, client: Redis) -> None:
    """Stopped with an open connection; reads succeed after the restart."""
    client.ping()
    valkey_server.stop()
    try:
        assert_all_calls_fail(client)
    finally:
        valkey_server.start()
    assert QuoteStore(client).last_tick("A005930") is None


def test_frozen_redis_raises_market_unavailable(valkey_server: Valkey, client: Redis) -> None:
    """Frozen with an open connection: no call waits forever."""
    client.ping()
    valkey_server.pause()
    try:
        assert_all_calls_fail(client)
    finally:
        valkey_server.resume()
    assert QuoteStore(client).last_tick("A005930") is None
