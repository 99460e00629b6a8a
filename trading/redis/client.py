"""Redis connections with short timeouts, so that a web request never hangs on Redis."""

from urllib.parse import urlsplit

from redis import AuthenticationError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as CannotConnect
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry


def connect(url: str, *, timeout_s: int | float = 0.5) -> "Redis":
    """Return a client with text replies, short timeouts and no retries.

    redis-py 8 retries ten times by default; a command whose reply was lost would run again.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        # Invalid UTF-8 must yield a malformed entry instead of failing the whole reply.
        encoding_errors="replace",
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )


def connect_broker(url: str, *, timeout_s: int | float = 0.5) -> "Redis":
    """Connect to Celery's broker; Celery's ``redis+socket:`` scheme is ``unix:`` in redis-py."""
    return connect(url.replace("redis+socket:", "unix:", 1), timeout_s=timeout_s)


def explain(fault: RedisError, url: str, *, name: str = "REDIS_URL") -> str | None:
    """Return one sentence on why the server at ``url`` cannot be used; None for another fault.

    ``name`` is the setting that holds the URL. The sentence contains no password.
    """
    parts = urlsplit(url)
    server = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
    if isinstance(fault, AuthenticationError) or _asks_for_password(fault):
        return f"The Redis server {server} refuses this user or password: correct {name}."
    if isinstance(fault, (CannotConnect, TimedOut)):
        return f"The Redis server {server} does not answer: start it, or correct {name}."
    return None


def _asks_for_password(fault: RedisError) -> bool:
    return str(fault).startswith(("NOAUTH", "WRONGPASS", "Authentication required"))
