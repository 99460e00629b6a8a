"""Connections to Redis that answer or fail soon: a web request must never hang on the market."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, *, timeout_s: int | float = 0.5) -> "Redis":
    """A client with text answers, bounded waits and no retries of its own.

    redis-py 8 would try ten times; a command whose reply was lost would then run again.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # Bytes that are no text must read as a malformed entry, not fail all that came with it.
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )


def connect_broker(url: str, *, timeout_s: int | float = 0.5) -> "Redis":
    """The same to Celery's broker, by the address that Celery is given: what it calls redis+socket, Redis' client calls unix."""
    return connect(url.replace("redis+socket:", "unix:", 1), timeout_s=timeout_s)
