"""Subscriptions requested by the product, as stored in Redis."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from trading.marketdata.quotes import QuoteStore
from trading.marketdata.subscriptions import SubscriptionSource, publish_subscriptions
from trading.marketdata.topics import trade_topic
from trading.redis import keys
from trading.redis.client import connect


@pytest.fixture
def client(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        yield client


def test_subscriptions_are_replaced_as_a_whole(client: Redis) -> None:
    """Except by an empty set, because an empty hash reads as lost."""
    publish_subscriptions(
        client, {"A005930": SubscriptionSource.HOLDINGS, "A000660": SubscriptionSource.HOLDINGS}
    )
    publish_subscriptions(
        client,
        {"A000660": SubscriptionSource.OPEN_ORDERS, "A035420": SubscriptionSource.MARKET_VALUE},
    )
    publish_subscriptions(client, {})

    assert client.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS) == {
        trade_topic("A000660"): "open-orders",
        trade_topic("A035420"): "market-value",
    }


def test_publishing_returns_whether_the_subscriptions_differ(client: Redis) -> None:
    followed = {"A005930": SubscriptionSource.HOLDINGS, "A000660": SubscriptionSource.WATCHLISTS}

    assert publish_subscriptions(client, followed)
    assert not publish_subscriptions(client, dict(reversed(followed.items())))
    assert publish_subscriptions(client, followed | {"A000660": SubscriptionSource.HOLDINGS})
    assert not publish_subscriptions(client, {})


def test_commanded_subscriptions_are_unchanged(client: Redis) -> None:
    client.sadd(keys.RELAYER_SUBSCRIPTIONS, trade_topic("A005930"))

    publish_subscriptions(client, {"A000660": SubscriptionSource.HOLDINGS})

    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {trade_topic("A005930")}


def test_latest_requests_are_kept_for_ten_minutes(client: Redis) -> None:
    """Requesting a stock again prolongs its request."""
    quotes, now = QuoteStore(client), datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    codes = [f"A{number:06}" for number in range(keys.REQUESTED_SUBSCRIPTIONS_MAX + 2)]
    for second, code in enumerate([*codes, codes[0]]):
        quotes.request_subscription(code, now=now + timedelta(seconds=second))

    kept = set(client.zrange(keys.RELAYER_REQUESTED_SUBSCRIPTIONS, 0, -1))
    assert kept == {trade_topic(code) for code in (codes[0], *codes[3:])}
    assert 0 < client.ttl(keys.RELAYER_REQUESTED_SUBSCRIPTIONS) <= 600

    quotes.request_subscription("A005930", now=now + timedelta(seconds=611))
    assert client.zrange(keys.RELAYER_REQUESTED_SUBSCRIPTIONS, 0, -1) == [
        *(trade_topic(code) for code in codes[12:]),
        trade_topic(codes[0]),
        trade_topic("A005930"),
    ]


def test_sources_are_ordered_by_urgency() -> None:
    assert sorted(SubscriptionSource, key=lambda source: source.rank) == [
        SubscriptionSource.OPEN_ORDERS,
        SubscriptionSource.HOLDINGS,
        SubscriptionSource.COMMANDS,
        SubscriptionSource.REQUESTS,
        SubscriptionSource.WATCHLISTS,
        SubscriptionSource.MARKET_VALUE,
    ]


def test_source_survives_round_trip() -> None:
    """An unknown source gets the lowest priority."""
    assert [SubscriptionSource.read(str(source)) for source in SubscriptionSource] == list(
        SubscriptionSource
    )
    assert SubscriptionSource.read("a source of tomorrow") is SubscriptionSource.MARKET_VALUE
