"""Subscriptions requested by the product, as stored in Redis."""

from collections.abc import Iterator

import pytest
from redis import Redis

from trading.marketdata.subscriptions import Source, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys
from trading.redis.client import connect


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        yield client


def test_subscriptions_are_replaced_as_a_whole(client: Redis) -> None:
    """Except by an empty set, because an empty hash reads as lost."""
    publish_subscriptions(client, {"A005930": Source.HOLDINGS, "A000660": Source.HOLDINGS})
    publish_subscriptions(client, {"A000660": Source.OPEN_ORDERS, "A035420": Source.MARKET_VALUE})
    publish_subscriptions(client, {})

    assert client.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS) == {
        trade_topic("A000660"): "open-orders",
        trade_topic("A035420"): "market-value",
    }


def test_commanded_subscriptions_are_unchanged(client: Redis) -> None:
    client.sadd(keys.RELAYER_SUBSCRIPTIONS, trade_topic("A005930"))

    publish_subscriptions(client, {"A000660": Source.HOLDINGS})

    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {trade_topic("A005930")}


def test_sources_are_ordered_by_urgency() -> None:
    assert sorted(Source, key=lambda source: source.rank) == [
        Source.OPEN_ORDERS,
        Source.HOLDINGS,
        Source.COMMANDS,
        Source.WATCHLISTS,
        Source.MARKET_VALUE,
    ]


def test_source_survives_round_trip() -> None:
    """An unknown source gets the lowest priority."""
    assert [Source.read(str(source)) for source in Source] == list(Source)
    assert Source.read("a source of tomorrow") is Source.MARKET_VALUE
