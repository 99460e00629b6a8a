"""What the product itself wants the relayer to follow, as desired state in Redis: it is read there about once a second."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.topics import trade_topic
from trading.redis import keys


class Source(StrEnum):
    """Why a destination is followed, the most urgent first. One more is a line here and one in ``trading.watchlists.followed_stocks``."""

    OPEN_ORDERS = "open-orders"
    HOLDINGS = "holdings"
    COMMANDS = "commands"
    WATCHLISTS = "watchlists"
    # Fills up what the others leave of the budget, so nobody misses what does not fit.
    MARKET_VALUE = "market-value"

    @property
    def rank(self) -> int:
        """The place in the order of urgency, from 0."""
        return _RANKS[self]

    @classmethod
    def read(cls, text: str) -> "Source":
        """A source as it stands in Redis. One that only a newer version knows fills up."""
        return cls(text) if text in _RANKS else cls.MARKET_VALUE


_RANKS = {source: rank for rank, source in enumerate(Source)}


class SubscriptionState(StrEnum):
    """How the feed stands to a destination. PENDING: asked for, or to be asked for once the feed is connected; LEFT_OUT: beyond the budget."""

    CONFIRMED = "confirmed"
    PENDING = "pending"
    REFUSED = "refused"
    LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A destination that is asked for; ``reason`` is the feed's own where it refused."""

    topic: str
    source: Source
    state: SubscriptionState
    reason: str | None


def publish_subscriptions(redis: Redis, wanted: Mapping[str, Source]) -> None:
    """Make exactly these stocks, by product code, what the product wants. Raises MarketUnavailable."""
    if not wanted:
        # Without an entry the key would not exist, which reads as lost.
        return
    try:
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS)
            pipeline.hset(
                keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS,
                mapping={trade_topic(code): str(source) for code, source in wanted.items()},
            )
            pipeline.execute()
    except RedisError as fault:
        raise MarketUnavailable from fault
