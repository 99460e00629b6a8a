"""Connections to Redis that answer or fail soon: a web request must never hang on the market."""

from urllib.parse import urlsplit

from redis import AuthenticationError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as CannotConnect
from redis.exceptions import TimeoutError as TimedOut
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


def explain(fault: RedisError, url: str, *, name: str = "REDIS_URL") -> str | None:
    """Return one sentence on why the server at ``url``, which setting ``name`` holds, can't be used.

    It shows no password. None for a fault that is not the server's.
    """
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
    if isinstance(fault, AuthenticationError) or _asks_for_password(fault):
        return f"The Redis server {place} refuses this user or password: correct {name}."
    if isinstance(fault, (CannotConnect, TimedOut)):
        return f"The Redis server {place} does not answer: start it, or correct {name}."
    return None


def _asks_for_password(fault: RedisError) -> bool:
    return str(fault).startswith(("NOAUTH", "WRONGPASS", "Authentication required"))
