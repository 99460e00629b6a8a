"""Every name in Redis, here and nowhere else."""

from uuid import UUID

TICK_TTL_S = 3_600
HEALTH_TTL_S = 300

TICK_STREAM = "stock:ticks"
TICK_STREAM_MAXLEN = 100_000
# An entry of the stream has this one field, the tick as JSON; the entry's id is the tick's position.
TICK_FIELD = "tick"

LAST_TICK_PREFIX = "stock:realtime:"
LAST_TICK_PATTERN = f"{LAST_TICK_PREFIX}*"
TICK_CHANNEL_PREFIX = "stock_updates:"
RELAYER_HEALTH = "toss_ws_relayer:health"
# What commands asked for, a set of destinations; and what the product wants by itself, a hash of destination and source, written as a whole.
RELAYER_SUBSCRIPTIONS = "toss_ws_relayer:subscriptions"
RELAYER_AUTOMATIC_SUBSCRIPTIONS = "toss_ws_relayer:automatic_subscriptions"
RELAYER_COMMANDS = "toss_ws_relayer:commands"
COMMAND_RESULT_TTL_S = 60
# Who holds the sole connection to Toss, a string with an expiry; and the number that the last holder was given.
RELAYER_LEASE = "toss_ws_relayer:lease"
RELAYER_LEASE_NUMBER = "toss_ws_relayer:lease_number"

ACCOUNT_STREAM_MAXLEN = 1_000
ACCOUNT_STREAM_TTL_S = 86_400
ACCOUNT_FIELD = "event"
# String: the instant (RFC 3339) of the last sweep that held all streams against the database.
ACCOUNT_EVENTS_SWEPT_AT = "account_events_swept_at"

# String with an expiry, at the broker: which beat sends the periodic tasks, as host, process and a random part.
BEAT_LOCK = "beat_lock"

# Hash, at the broker: what Celery's workers have taken and not acknowledged yet. The name is the library's.
BROKER_UNACKNOWLEDGED = "unacked"

# Pub/sub: the id of each session as it is ended.
REVOCATIONS = "revoked_sessions"

# Counters with expiries of the requests of users and addresses; what follows the prefix is the library's own.
RATES = "rate"


def last_tick(code: str) -> str:
    """String with a TTL: the last tick of a stock (product code) as JSON."""
    return f"{LAST_TICK_PREFIX}{code}"


def code_of_last_tick(key: str) -> str:
    return key.removeprefix(LAST_TICK_PREFIX)


def tick_channel(code: str) -> str:
    """Pub/sub: the same JSON, as it arrives."""
    return f"{TICK_CHANNEL_PREFIX}{code}"


def code_of_tick_channel(channel: str) -> str | None:
    """The stock whose ticks come by this channel; None for a channel of another kind."""
    return (
        channel.removeprefix(TICK_CHANNEL_PREFIX)
        if channel.startswith(TICK_CHANNEL_PREFIX)
        else None
    )


def account_stream(user_id: UUID) -> str:
    """Stream, capped and with a TTL: the latest account events of a user. An entry's id is ``{event id}-0``, its one field ACCOUNT_FIELD the JSON."""
    return f"account_events:{user_id}"


def account_channel(user_id: UUID) -> str:
    """Pub/sub: the same JSON, as it is added to the stream."""
    return f"account_updates:{user_id}"


def user_of_account_channel(channel: str) -> UUID | None:
    """Whose account events come by this channel; None for a channel of another kind."""
    return (
        UUID(channel.removeprefix("account_updates:"))
        if channel.startswith("account_updates:")
        else None
    )


def revoked_session(session_id: UUID) -> str:
    """String with a TTL: there while an access token of a session that was ended may still look good."""
    return f"revoked_session:{session_id}"


def command_result(command_id: str) -> str:
    """String with a TTL: the relayer's answer to one command, as JSON; and the channel on which it is published, as it is written."""
    return f"toss_ws_relayer:command_result:{command_id}"


def upstream_answer(subject: str) -> str:
    """String with a TTL: what Toss's REST API told last of a subject, with the time, as JSON."""
    return f"toss_rest:answer:{subject}"


def upstream_turn(subject: str) -> str:
    """String with a TTL: whose turn it is to ask for a subject."""
    return f"toss_rest:turn:{subject}"


def upstream_pause(host: str) -> str:
    """String with a TTL: there while nobody may ask this host; the reason."""
    return f"toss_rest:pause:{host}"


def sign_in_failures(account: str, client: str | None = None) -> str:
    """Hash with an expiry: ``failures``, how many sign-ins in a row failed for an account, from one client or from all that it does not know; and
    ``locked_until``, a Unix time in ms. Account and client are keyed hashes.
    """
    return (
        f"sign_in:failures:{account}" if client is None else f"sign_in:failures:{account}:{client}"
    )


def sign_in_attempts(account: str, client: str | None = None) -> str:
    """List with an expiry: when the latest sign-ins were tried, Unix times in ms, newest first."""
    return (
        f"sign_in:attempts:{account}" if client is None else f"sign_in:attempts:{account}:{client}"
    )


def sign_in_known(account: str, client: str) -> str:
    """String with a TTL: there when the account has signed in from this client."""
    return f"sign_in:known:{account}:{client}"
