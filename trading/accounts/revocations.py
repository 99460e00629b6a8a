"""Announce ended sessions to processes that hold connections for them and have no database."""

from collections.abc import Collection
from uuid import UUID

from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.redis import keys


class Revocations:
    """Announcements through Redis. The database decides; this reaches subscribers and later
    readers.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def announce(self, session_ids: Collection[UUID], *, remember_s: int) -> None:
        """Publish ended sessions and mark them for the lifetime of an access token (`remember_s`
        seconds).

        Raises MarketUnavailable when Redis does not answer within the client's timeout.
        """
        if not session_ids:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for session_id in session_ids:
                    # The mark first, for subscribers that miss the message.
                    pipeline.set(keys.revoked_session(session_id), 1, ex=remember_s)
                    pipeline.publish(keys.REVOCATIONS, str(session_id))
                pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault
