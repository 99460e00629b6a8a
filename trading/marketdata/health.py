"""Health of the relayer: the record it publishes in Redis, and its evaluation."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, TypeAdapter

from trading.exchange.hours import MarketHours, TradingSession

DEAD_AFTER = timedelta(seconds=60)
STALE_AFTER = timedelta(seconds=30)

# Topics listed in a record; the totals are always complete.
TOPICS_LISTED_MAX = 20

# Call auctions are excluded: no trades are printed during them.
_CONTINUOUS = frozenset(
    {
        TradingSession.PRE_MARKET,
        TradingSession.REGULAR,
        TradingSession.AFTER_MARKET,
        TradingSession.ALWAYS_OPEN,
    }
)

_Instant = Annotated[AwareDatetime, AfterValidator(lambda instant: instant.astimezone(UTC))]


class FeedStatus(StrEnum):
    """Status of the feed.

    HEALTHY; STALE: connected, but no tick for 30 s of trading; DISCONNECTED from Toss; DEAD: no
    heartbeat for 60 s; OFFLINE: no record.
    """

    HEALTHY = "HEALTHY"
    STALE = "STALE"
    DISCONNECTED = "DISCONNECTED"
    DEAD = "DEAD"
    OFFLINE = "OFFLINE"


class HealthReason(StrEnum):
    """Reason of a status. The last four are remarks for operators that do not change the status."""

    NO_RECORD = "no-record"
    NO_HEARTBEAT = "no-heartbeat"
    NOT_CONNECTED = "not-connected"
    NO_SUBSCRIPTIONS = "no-subscriptions"
    NO_TICKS = "no-ticks"

    NO_TRADING_NOW = "no-trading-now"
    UNCONFIRMED = "subscriptions-unconfirmed"
    REFUSED = "subscriptions-refused"
    LEFT_OUT = "subscriptions-left-out"


@dataclass(frozen=True, slots=True)
class RefusedTopic:
    """A topic that Toss refused, with Toss's text."""

    topic: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayerHealth:
    """Record that a relayer publishes: facts only, without knowledge of market hours.

    ``subscriptions`` are confirmed, ``wanted`` is the number requested; ``left_out`` exceed the
    budget. ``left_out`` and ``refused`` list at most TOPICS_LISTED_MAX topics. ``lag_ms`` is the
    time from the arrival of the last tick to its being in Redis, ``conflated_total`` counts ticks
    replaced by newer ones while Redis was unavailable, ``repeated_total`` counts duplicates.
    Members missing in a record of an older version have defaults.
    """

    pid: int
    started_at: _Instant
    updated_at: _Instant
    connected: bool
    subscriptions: int = 0
    last_tick_at: _Instant | None = None
    reconnects: int = 0
    ticks_total: int = 0
    malformed_total: int = 0
    lag_ms: int | None = None
    lease_number: int | None = None
    why_disconnected: str | None = None
    wanted: int = 0
    left_out: tuple[str, ...] = ()
    left_out_total: int = 0
    refused: tuple[RefusedTopic, ...] = ()
    refused_total: int = 0
    repeated_total: int = 0
    conflated_total: int = 0
    waiting_ticks: int = 0

    def is_dead(self, now: datetime) -> bool:
        """Return True if the last heartbeat is too old."""
        return now - self.updated_at > DEAD_AFTER

    def to_json(self) -> str:
        return _RECORD.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse a record of any version; ignore unknown members. Raises ValueError if malformed."""
        try:
            return _RECORD.validate_json(text, strict=True)  # type: ignore[return-value]  # the adapter's type is this one
        except OverflowError:
            raise ValueError("a time beyond the calendar") from None


_RECORD = TypeAdapter(RelayerHealth)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    status: FeedStatus
    reasons: tuple[HealthReason, ...]


def trading_since(hours: MarketHours, now: datetime) -> datetime | None:
    """Return the start of the current continuous session, in which ticks are expected.

    None in a call auction and outside all sessions.
    """
    span = hours.span_at(now)
    return span.opens_at if span is not None and span.session in _CONTINUOUS else None


def diagnose(
    health: RelayerHealth | None, now: datetime, *, trading_since: datetime | None
) -> Diagnosis:
    """Evaluate a record at ``now``; ``trading_since`` starts continuous trading, if any."""
    if health is None:
        return Diagnosis(FeedStatus.OFFLINE, (HealthReason.NO_RECORD,))
    if health.is_dead(now):
        return Diagnosis(FeedStatus.DEAD, (HealthReason.NO_HEARTBEAT,))
    remarks = tuple(_remarks(health))
    if not health.connected:
        return Diagnosis(FeedStatus.DISCONNECTED, (HealthReason.NOT_CONNECTED, *remarks))
    if trading_since is None:
        return Diagnosis(FeedStatus.HEALTHY, (HealthReason.NO_TRADING_NOW, *remarks))
    if health.last_tick_at is None or now - max(health.last_tick_at, trading_since) > STALE_AFTER:
        why = HealthReason.NO_TICKS if health.wanted else HealthReason.NO_SUBSCRIPTIONS
        return Diagnosis(FeedStatus.STALE, (why, *remarks))
    return Diagnosis(FeedStatus.HEALTHY, remarks)


def _remarks(health: RelayerHealth) -> list[HealthReason]:
    found = {
        HealthReason.UNCONFIRMED: health.connected
        and health.subscriptions + health.refused_total < health.wanted,
        HealthReason.REFUSED: health.refused_total > 0,
        HealthReason.LEFT_OUT: health.left_out_total > 0,
    }
    return [reason for reason, applies in found.items() if applies]
