"""Subscriptions that the product requests from the relayer, as desired state in Redis.

The relayer reads them about once a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.topics import trade_topic
from trading.redis import keys


class SubscriptionSource(StrEnum):
    """Reason of a subscription, most urgent first.

    The relayer reads COMMANDS and REQUESTS from keys of their own. A new source of the workers also
    needs a line in ``trading.watchlists.followed_stocks``.
    """

    OPEN_ORDERS = "open-orders"
    HOLDINGS = "holdings"
    COMMANDS = "commands"
    # Stocks without a price that users wanted to buy or requested a quote of.
    REQUESTS = "requests"
    WATCHLISTS = "watchlists"
    # Fills the remaining budget; those beyond it are not reported as left out.
    MARKET_VALUE = "market-value"

    @property
    def rank(self) -> int:
        """Priority, starting from 0."""
        return _RANKS[self]

    @classmethod
    def read(cls, text: str) -> "SubscriptionSource":
        """Parse a source from Redis. A source of a newer version gets the lowest priority."""
        return cls(text) if text in _RANKS else cls.MARKET_VALUE


_RANKS = {source: rank for rank, source in enumerate(SubscriptionSource)}


class SubscriptionState(StrEnum):
    """State of a subscription at the feed.

    PENDING: requested, or to be requested after connecting. LEFT_OUT: beyond the budget.
    """

    CONFIRMED = "confirmed"
    PENDING = "pending"
    REFUSED = "refused"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A requested topic; ``reason`` is the feed's text if it refused."""

    topic: str
    source: SubscriptionSource
    state: SubscriptionState
    reason: str | None


def publish_subscriptions(redis: Redis, subscriptions: Mapping[str, SubscriptionSource]) -> bool:
    """Replace the product's subscriptions by these stocks (product codes); return if they differ.

    Raises MarketUnavailable.
    """
    if not subscriptions:
        # An empty hash would not exist, which the relayer reads as lost.
        return False
    wanted: Mapping[Any, Any] = {
        trade_topic(code): str(source) for code, source in subscriptions.items()
    }
    try:
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS)
            pipeline.delete(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS)
            pipeline.hset(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS, mapping=wanted)
            before, *_ = pipeline.execute()
    except RedisError as fault:
        raise MarketUnavailable from fault
    return bool(before != wanted)
