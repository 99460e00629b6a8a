"""What the product wants followed, as it stands in Redis."""

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


def test_what_is_wanted_is_replaced_as_a_whole(client: Redis) -> None:
    """It is exactly what was said last; wanting nothing leaves it, as an empty key reads as a lost one."""
    publish_subscriptions(client, {"A005930": Source.HOLDINGS, "A000660": Source.HOLDINGS})
    publish_subscriptions(client, {"A000660": Source.OPEN_ORDERS, "A035420": Source.MARKET_VALUE})
    publish_subscriptions(client, {})

    assert client.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS) == {
        trade_topic("A000660"): "open-orders",
        trade_topic("A035420"): "market-value",
    }


def test_commands_are_left_alone(client: Redis) -> None:
    """What administrators asked for is theirs to withdraw."""
    client.sadd(keys.RELAYER_SUBSCRIPTIONS, trade_topic("A005930"))

    publish_subscriptions(client, {"A000660": Source.HOLDINGS})

    assert client.smembers(keys.RELAYER_SUBSCRIPTIONS) == {trade_topic("A005930")}


def test_money_goes_first_and_size_last() -> None:
    """A command comes after what money depends on, what is watched after it, and last what only fills up."""
    assert sorted(Source, key=lambda source: source.rank) == [
        Source.OPEN_ORDERS,
        Source.HOLDINGS,
        Source.COMMANDS,
        Source.WATCHLISTS,
        Source.MARKET_VALUE,
    ]


def test_every_source_is_read_as_it_was_written() -> None:
    """And one of a newer version fills up."""
    assert [Source.read(str(source)) for source in Source] == list(Source)
    assert Source.read("a source of tomorrow") is Source.MARKET_VALUE
