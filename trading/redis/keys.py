"""Names of all Redis keys and channels."""

from datetime import date
from uuid import UUID

TICK_TTL_S = 3_600
PUBLISHED_LIMITS_TTL_S = 86_400
HEALTH_TTL_S = 300

TICK_STREAM = "stock:ticks"
TICK_STREAM_MAXLEN = 100_000
# The only field of a stream entry: the tick as JSON. The entry id is the tick's position.
TICK_FIELD = "tick"

LAST_TICK_PREFIX = "stock:realtime:"
LAST_TICK_PATTERN = f"{LAST_TICK_PREFIX}*"
# Day totals by which repeated trades are recognized: the latest of each stock, day and exchange. A
# trade of Friday may be repeated after the longest holidays.
KNOWN_TRADES_MAX = 1_000
KNOWN_TRADES_TTL_S = 11 * 86_400
TICK_CHANNEL_PREFIX = "stock_updates:"
RELAYER_HEALTH = "toss_ws_relayer:health"
# Set: destinations requested by commands. Hash: destination -> source of the subscriptions that the
# product requests itself, always replaced as a whole.
RELAYER_SUBSCRIPTIONS = "toss_ws_relayer:subscriptions"
RELAYER_AUTOMATIC_SUBSCRIPTIONS = "toss_ws_relayer:automatic_subscriptions"
# Sorted set with a TTL: destinations of stocks without a price that users requested, by the time of
# the last request in ms.
RELAYER_REQUESTED_SUBSCRIPTIONS = "toss_ws_relayer:requested_subscriptions"
REQUESTED_SUBSCRIPTIONS_MAX = 20
REQUESTED_SUBSCRIPTIONS_TTL_S = 600
RELAYER_COMMANDS = "toss_ws_relayer:commands"
COMMAND_RESULT_TTL_S = 60
# String with a TTL: holder of the only connection to Toss. Counter: lease number of the last
# holder.
RELAYER_LEASE = "toss_ws_relayer:lease"
RELAYER_LEASE_NUMBER = "toss_ws_relayer:lease_number"

ACCOUNT_STREAM_MAXLEN = 1_000
ACCOUNT_STREAM_TTL_S = 86_400
ACCOUNT_FIELD = "event"
# String: time (RFC 3339) of the last repair run that compared all streams with the database.
ACCOUNT_EVENTS_SWEPT_AT = "account_events_swept_at"

# String with a TTL, at the broker: the active beat as host, process id and random part.
BEAT_LOCK = "beat_lock"

# Sorted set: processes as "kind host pid start" with the time of their last report (Unix s).
PROCESSES = "processes"

# Hash, at the broker: messages delivered to Celery workers and not acknowledged. Named by Celery.
BROKER_UNACKNOWLEDGED = "unacked"

# Pub/sub: the id of each session that ends.
REVOCATIONS = "revoked_sessions"

# Counters with a TTL: requests per user and address. The rest of the key is set by ``limits``.
RATES = "rate"


def last_tick(code: str) -> str:
    """String with a TTL: the last tick of a stock (product code) as JSON."""
    return f"{LAST_TICK_PREFIX}{code}"


def known_trades(code: str, day: date, exchange: str | None) -> str:
    """Sorted set with a TTL: the cumulative volumes of trades in the stream, as score and member.

    The name ends with the trading day and the exchange, which is empty if the feed has none.
    """
    return f"stock:known_trades:{code}:{day.isoformat()}:{exchange or ''}"


def published_limits(code: str) -> str:
    """String with a TTL: the last price limits of a stock that Toss published, as JSON."""
    return f"stock:limits:{code}"


def code_of_last_tick(key: str) -> str:
    return key.removeprefix(LAST_TICK_PREFIX)


def tick_channel(code: str) -> str:
    """Pub/sub: the same JSON as it arrives."""
    return f"{TICK_CHANNEL_PREFIX}{code}"


def code_of_tick_channel(channel: str) -> str | None:
    """Return the product code of a tick channel; None for another channel."""
    return (
        channel.removeprefix(TICK_CHANNEL_PREFIX)
        if channel.startswith(TICK_CHANNEL_PREFIX)
        else None
    )


def account_stream(user_id: UUID) -> str:
    """Stream, capped, with a TTL: the latest account events of a user.

    The entry id is ``{event id}-0``; its only field is ACCOUNT_FIELD with JSON.
    """
    return f"account_events:{user_id}"


def account_channel(user_id: UUID) -> str:
    """Pub/sub: the same JSON as it is appended to the stream."""
    return f"account_updates:{user_id}"


def user_of_account_channel(channel: str) -> UUID | None:
    """Return the user of an account channel; None for another channel."""
    return (
        UUID(channel.removeprefix("account_updates:"))
        if channel.startswith("account_updates:")
        else None
    )


def revoked_session(session_id: UUID) -> str:
    """String with a TTL: exists while a token of an ended session may be unexpired."""
    return f"revoked_session:{session_id}"


def command_result(command_id: str) -> str:
    """String with a TTL: the relayer's JSON answer to a command, and its channel."""
    return f"toss_ws_relayer:command_result:{command_id}"


def upstream_answer(subject: str) -> str:
    """String with a TTL: the last answer of Toss's REST API with its time, as JSON."""
    return f"toss_rest:answer:{subject}"


def upstream_lock(subject: str) -> str:
    """String with a TTL: lock of the process that may request a subject."""
    return f"toss_rest:turn:{subject}"


def upstream_pause(host: str) -> str:
    """String with a TTL: exists while requests to this host are suspended; holds the reason."""
    return f"toss_rest:pause:{host}"


def sign_in_failures(account: str, client: str | None = None) -> str:
    """Hash with a TTL: failed sign-ins of an account.

    ``failures`` counts consecutive failures from one client, or from all clients unknown to the
    account; ``locked_until`` is a Unix time in ms. Account and client are keyed hashes.
    """
    return (
        f"sign_in:failures:{account}" if client is None else f"sign_in:failures:{account}:{client}"
    )


def sign_in_attempts(account: str, client: str | None = None) -> str:
    """List with a TTL: times of the latest sign-in attempts, Unix ms, newest first."""
    return (
        f"sign_in:attempts:{account}" if client is None else f"sign_in:attempts:{account}:{client}"
    )


def sign_in_known(account: str, client: str) -> str:
    """String with a TTL: exists if the account has signed in from this client."""
    return f"sign_in:known:{account}:{client}"
