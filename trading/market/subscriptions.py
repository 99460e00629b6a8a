"""What the relayer should follow, as desired state in Redis: it is read there about once a second and survives a relayer's restart."""

from collections.abc import Iterable

from redis import Redis, RedisError

from trading.market import keys
from trading.market.quote_book import MarketUnavailable
from trading.market.topics import trade_topic


def publish_subscriptions(redis: Redis, codes: Iterable[str]) -> None:
    """Make the trades of exactly these stocks what is to be followed. Raises MarketUnavailable."""
    topics = [trade_topic(code) for code in codes]
    if not topics:
        # An empty set would read as a lost one.
        return
    try:
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(keys.RELAYER_SUBSCRIPTIONS)
            pipeline.sadd(keys.RELAYER_SUBSCRIPTIONS, *topics)
            pipeline.execute()
    except RedisError as fault:
        raise MarketUnavailable from fault
