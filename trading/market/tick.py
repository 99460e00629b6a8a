"""A tick: one trade as Toss reported it, with the place that the relayer gave it in the tick stream.

Two clocks meet here. ``traded_at`` is Toss's; ``received_at`` is the relayer's, and the age of a tick is measured from it alone.
Order among ticks is their position in the stream, never a comparison of clocks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

_PRICE_MAX = 10**9
_VOLUME_MAX = 10**15
_POSITIONS_PER_MS = 1_000_000
_CLOCK_TOLERANCE_MS = 1_000


class MalformedTick(Exception):
    """A message from the feed, or a value in Redis, that is no tick. The message says what is wrong, never the whole content."""


class Position(NamedTuple):
    """A place in the tick stream: a Redis stream id, ``ms-n``. Positions order all ticks of all stocks."""

    ms: int
    n: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """``"1763800000000-3"``; MalformedTick for anything else."""
        ms, dash, n = text.partition("-")
        if not (
            dash and ms.isascii() and ms.isdigit() and n.isascii() and n.isdigit() and len(ms) <= 13 and len(n) <= 6
        ):
            raise MalformedTick("position is no stream id")
        return cls(int(ms), int(n))

    @property
    def packed(self) -> int:
        """The position as one 64-bit integer of the same order, as the database keeps it."""
        return self.ms * _POSITIONS_PER_MS + self.n

    @classmethod
    def unpack(cls, packed: int) -> Self:
        return cls(*divmod(packed, _POSITIONS_PER_MS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One trade. Prices are won, volumes shares; ``base`` is the day's base price. Open enums stay text, absent ones None."""

    code: str
    price: int
    volume: int
    traded_at: datetime
    received_at: datetime
    position: Position
    base: int | None = None
    cumulative_volume: int | None = None
    trade_type: str | None = None
    change_type: str | None = None
    session: str | None = None
    exchange: str | None = None

    @property
    def change(self) -> int | None:
        """Price against the base price in won, with its sign; None without a base."""
        return None if self.base is None else self.price - self.base

    @property
    def change_rate_bp(self) -> int | None:
        """The change in basis points of the base price, rounded half away from zero; None without a base."""
        if not self.base:
            return None
        magnitude = (2 * abs(self.price - self.base) * 10_000 + self.base) // (2 * self.base)
        return magnitude if self.price >= self.base else -magnitude

    def age_ms(self, now: datetime) -> int:
        """Milliseconds since the relayer received it.

        Two clocks are never quite equal, so a tick from up to a second ahead is as fresh as can be. From further ahead its age is unknown, and
        it counts as old as the clocks disagree: no fill is better than one at a price of unknown age.
        """
        age = (now - self.received_at) // timedelta(milliseconds=1)
        return age if age >= 0 else 0 if age >= -_CLOCK_TOLERANCE_MS else -age

    def to_json(self) -> str:
        return json.dumps(
            {
                "code": self.code,
                "price": self.price,
                "base": self.base,
                "volume": self.volume,
                "cumulative_volume": self.cumulative_volume,
                "trade_type": self.trade_type,
                "change_type": self.change_type,
                "session": self.session,
                "exchange": self.exchange,
                "traded_at": self.traded_at.isoformat(),
                "received_at": self.received_at.isoformat(timespec="milliseconds"),
                "position": str(self.position),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """A tick as ``to_json`` wrote it; MalformedTick for anything else."""
        record = _json_object(text)
        return cls(
            code=_text(record, "code"),
            price=_integer(record, "price", low=1, high=_PRICE_MAX),
            base=_optional_integer(record, "base", low=1, high=_PRICE_MAX),
            volume=_integer(record, "volume", low=0, high=_VOLUME_MAX),
            cumulative_volume=_optional_integer(record, "cumulative_volume", low=0, high=_VOLUME_MAX),
            trade_type=_optional_text(record, "trade_type"),
            change_type=_optional_text(record, "change_type"),
            session=_optional_text(record, "session"),
            exchange=_optional_text(record, "exchange"),
            traded_at=_instant(record, "traded_at"),
            received_at=_instant(record, "received_at"),
            position=Position.parse(_text(record, "position")),
        )


def parse_toss_trade(body: str | bytes, *, code: str, received_at: datetime, position: Position) -> Tick:
    """A tick from the body of a Toss trade message for the stock that was subscribed.

    Unknown fields and enum values are tolerated: the feed has no contract and grows. What decides money is checked: the code,
    a whole positive price, volumes, a time with an offset. MalformedTick otherwise.
    """
    record = _json_object(body)
    named = _optional_text(record, "code")
    if named is not None and named != code:
        raise MalformedTick("code is not the one subscribed")
    if _optional_text(record, "currency") not in (None, "KRW"):
        raise MalformedTick("currency is not KRW")
    return Tick(
        code=code,
        price=_integer(record, "close", low=1, high=_PRICE_MAX),
        base=_optional_integer(record, "base", low=1, high=_PRICE_MAX),
        volume=_integer(record, "volume", low=0, high=_VOLUME_MAX),
        cumulative_volume=_optional_integer(record, "cumulativeVolume", low=0, high=_VOLUME_MAX),
        trade_type=_optional_text(record, "tradeType"),
        change_type=_optional_text(record, "changeType"),
        session=_optional_text(record, "session"),
        exchange=_optional_text(record, "exchange"),
        traded_at=_instant(record, "dt"),
        received_at=received_at,
        position=position,
    )


def _json_object(text: str | bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedTick("not JSON") from None
    if not isinstance(record, dict):
        raise MalformedTick("not a JSON object")
    return record


def _integer(record: Mapping[str, Any], name: str, *, low: int, high: int) -> int:
    value = record.get(name)
    # The feed's JSON numbers may read 70000.0; anything with a fraction is no price or volume in won and shares.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise MalformedTick(f"{name} is no whole number from {low} to {high}")
    return value


def _optional_integer(record: Mapping[str, Any], name: str, *, low: int, high: int) -> int | None:
    return None if record.get(name) is None else _integer(record, name, low=low, high=high)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = _optional_text(record, name)
    if value is None:
        raise MalformedTick(f"{name} is missing")
    return value


def _optional_text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > 40):
        raise MalformedTick(f"{name} is no short text")
    return value


def _instant(record: Mapping[str, Any], name: str) -> datetime:
    text = _text(record, name)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise MalformedTick(f"{name} has no offset")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedTick(f"{name} is no RFC 3339 time") from None
