"""Sessions that were ended, told to those who hold connections open for them and can't ask the database."""

from collections.abc import Collection
from uuid import UUID

from redis import Redis, RedisError

from trading.marketdata.quotes import MarketUnavailable
from trading.redis import keys


class Revocations:
    """Tells that sessions are ended. The database is the truth; this reaches whoever listens now, or looks later."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def announce(self, session_ids: Collection[UUID], *, remember_s: int) -> None:
        """Tell it to all listeners, and leave a mark for as long as an access token may live (s).

        Raises MarketUnavailable when Redis does not answer within the client's timeout.
        """
        if not session_ids:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for session_id in session_ids:
                    # The mark comes first: whoever subscribes too late for the message finds it.
                    pipeline.set(keys.revoked_session(session_id), 1, ex=remember_s)
                    pipeline.publish(keys.REVOCATIONS, str(session_id))
                pipeline.execute()
        except RedisError as fault:
            raise MarketUnavailable from fault
