"""Traces in Redis of a system whose processes all run."""

from datetime import datetime

from redis import Redis

from trading.config.processes import ProcessKind
from trading.marketdata.health import RelayerHealth
from trading.redis import keys
from trading.redis.running_processes import ProcessReporter

BEAT = "machine:42:0a1b2c3d"


def report_processes(redis: Redis, url: str, now: datetime, *, without: str = "") -> None:
    """Report one process of each kind, a healthy feed and the active beat."""
    for kind in ProcessKind:
        if kind != without:
            ProcessReporter(kind, url, works=lambda: True).report()
    redis.set(keys.BEAT_LOCK, BEAT)
    redis.set(keys.RELAYER_LEASE, "1")
    health = RelayerHealth(
        pid=1, started_at=now, updated_at=now, connected=True, subscriptions=1, last_tick_at=now
    )
    redis.set(keys.RELAYER_HEALTH, health.to_json())
