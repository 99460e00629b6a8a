"""Redis transport that releases the prefetch slot when an acknowledgement fails.

A worker receives no more messages than it has children. When an acknowledgement timed out because
Redis froze, the message kept its slot although the connection recovered, and the worker never
received another message.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual


class QoS(redis.QoS):
    """Unacknowledged messages stay in Redis and are redelivered after the visibility timeout."""

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        try:
            super().reject(delivery_tag, requeue)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel


def install_transport() -> None:
    """Use this transport for all broker URLs that begin with redis. Call before connecting."""
    TRANSPORT_ALIASES.update(
        dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__qualname__}")
    )
