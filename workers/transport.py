"""Celery's transport over Redis, but that a message which could not be acknowledged takes up no place.

A worker receives no more messages than it has children. When Redis froze while it was at one, the acknowledgement was not answered in time and the message
kept its place for ever, while the connection by which messages come was as good as before: such a worker never took another one.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual


class QoS(redis.QoS):
    """What could not be acknowledged stays in Redis, which gives it to somebody again when its time is up."""

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
    """Have this one speak to every broker whose address begins with redis, whatever follows. To be called before anybody connects."""
    TRANSPORT_ALIASES.update(
        dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__qualname__}")
    )
