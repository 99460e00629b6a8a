"""The relayer's health: the record that it keeps in Redis and what that record means at a moment."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

DEAD_AFTER = timedelta(seconds=60)
STALE_AFTER = timedelta(seconds=30)


class FeedStatus(StrEnum):
    """HEALTHY; STALE: connected, but no tick for 30 s; DISCONNECTED from Toss; DEAD: no heartbeat for 60 s; OFFLINE: no record."""

    HEALTHY = "HEALTHY"
    STALE = "STALE"
    DISCONNECTED = "DISCONNECTED"
    DEAD = "DEAD"
    OFFLINE = "OFFLINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayerHealth:
    """What a relayer says of itself. ``lag_ms`` is from the last tick's arrival to its being in Redis."""

    pid: int
    started_at: datetime
    updated_at: datetime
    connected: bool
    subscriptions: int
    last_tick_at: datetime | None
    reconnects: int
    ticks_total: int
    malformed_total: int
    lag_ms: int | None

    def status(self, now: datetime) -> FeedStatus:
        if now - self.updated_at > DEAD_AFTER:
            return FeedStatus.DEAD
        if not self.connected:
            return FeedStatus.DISCONNECTED
        if self.last_tick_at is None or now - self.last_tick_at > STALE_AFTER:
            return FeedStatus.STALE
        return FeedStatus.HEALTHY

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=lambda instant: instant.isoformat(timespec="milliseconds"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """A record as ``to_json`` wrote it. ValueError (or a subclass), KeyError or TypeError when it is none."""
        try:
            record = json.loads(text)
            for name in ("started_at", "updated_at", "last_tick_at"):
                if name != "last_tick_at" or record[name] is not None:
                    record[name] = datetime.fromisoformat(record[name]).astimezone(UTC)
        except (OverflowError, RecursionError):
            raise ValueError("a time or a nesting beyond all bounds") from None
        return cls(**record)


def status_of(health: RelayerHealth | None, now: datetime) -> FeedStatus:
    return FeedStatus.OFFLINE if health is None else health.status(now)
