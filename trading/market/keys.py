"""Every name in Redis, here and nowhere else."""

TICK_TTL_S = 3_600
HEALTH_TTL_S = 300

TICK_STREAM = "stock:ticks"
TICK_STREAM_MAXLEN = 100_000
# An entry of the stream has this one field, the tick as JSON; the entry's id is the tick's position.
TICK_FIELD = "tick"

LAST_TICK_PATTERN = "stock:realtime:*"
RELAYER_HEALTH = "toss_ws_relayer:health"
RELAYER_SUBSCRIPTIONS = "toss_ws_relayer:subscriptions"


def last_tick(code: str) -> str:
    """String with a TTL: the last tick of a stock (product code) as JSON."""
    return f"stock:realtime:{code}"


def code_of_last_tick(key: str) -> str:
    return key.removeprefix("stock:realtime:")


def tick_channel(code: str) -> str:
    """Pub/sub: the same JSON, as it arrives."""
    return f"stock_updates:{code}"
