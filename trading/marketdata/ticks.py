"""Tick: one trade reported by Toss, with its position in the tick stream.

Two clocks are involved: ``traded_at`` is Toss's, usually in whole seconds; ``received_at`` is the
relayer's. A feed may report a trade late or again, so the time of receipt does not prove when it
was traded. A difference of up to NETWORK_ALLOWANCE_MS between the clocks is attributed to the
network and to clock skew; any further delay counts as age. A trade is evidence for an order or an
alert only if it was traded after the acceptance or arming, on the same trading day, and is not
late. Ticks are ordered by their position in the stream, never by time.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple, Self, TypeVar

import msgspec

from trading.exchange.time import trade_date
from trading.marketdata.stock_codes import PRODUCT_CODE
from trading.money import change_rate_bp

_PRICE_MAX = 10**9
_VOLUME_MAX = 10**15
_POSITIONS_PER_MS = 1_000_000
# Last millisecond whose packed positions fit into 64 bits, in the year 2262.
MS_MAX = 2**63 // _POSITIONS_PER_MS - 1
_CLOCK_TOLERANCE_MS = 1_000
# Delay between trade and receipt that is normal: the network, the whole seconds of the feed's
# times, and a difference between Toss's clock and ours.
NETWORK_ALLOWANCE_MS = 5_000
# Above every freshness limit: the age of a trade whose time is in the future.
_UNKNOWN_AGE_MS = 86_400_000
_MS = timedelta(milliseconds=1)
_YEARS = range(2000, 2200)


class MalformedTick(Exception):
    """A message of the feed, or a value in Redis, that is not a valid tick.

    The text names the fault without repeating the content.
    """


class Position(NamedTuple):
    """Position in the tick stream: a Redis stream id, ``ms-n``. Orders all ticks."""

    ms: int
    n: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.n}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``"1763800000000-3"``. Raises MalformedTick for anything else."""
        ms, dash, n = text.partition("-")
        if not (
            dash
            and ms.isascii()
            and ms.isdigit()
            and n.isascii()
            and n.isdigit()
            and len(ms) <= 13
            and len(n) <= 6
        ):
            raise MalformedTick("position is not a stream id")
        if int(ms) > MS_MAX:
            raise MalformedTick("position is out of range")
        return cls(int(ms), int(n))

    @property
    def packed(self) -> int:
        """The position as one 64-bit integer with the same order, as stored in the database."""
        return self.ms * _POSITIONS_PER_MS + self.n

    @classmethod
    def unpack(cls, packed: int) -> Self:
        return cls(*divmod(packed, _POSITIONS_PER_MS))


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One trade: price in won, volume in shares, ``base`` is the base price of the day.

    Values of the feed's open enums are kept as text; absent ones are None.
    """

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
        """Price minus base price in won; None without a base price."""
        return None if self.base is None else self.price - self.base

    @property
    def change_rate_bp(self) -> int | None:
        """The change in bp of the base price, rounded half away from zero; None without base."""
        return change_rate_bp(self.price, self.base) if self.base else None

    def base_on(self, day: date) -> int | None:
        """Return the base price of a trading day, None if this trade is of another day.

        A trade may be received late or again, so the day is that of ``traded_at``.
        """
        return self.base if trade_date(self.traded_at) == day else None

    @property
    def delay_ms(self) -> int:
        """Milliseconds from the trade to its receipt; 0 if Toss's clock is ahead of ours."""
        return max(0, (self.received_at - self.traded_at) // _MS)

    def is_late(self, freshness_ms: int) -> bool:
        """Return True if the trade was no longer fresh when it was received.

        Its delay exceeds the freshness limit plus NETWORK_ALLOWANCE_MS, or its time is further in
        the future than that allowance, so that nothing is known about when it was traded.
        """
        return self.age_ms(self.received_at) > freshness_ms

    @property
    def traded_before(self) -> datetime:
        """The exclusive upper bound of the instant of the trade.

        A time in whole seconds (or milliseconds) represents all of that second.
        """
        microsecond = self.traded_at.microsecond
        step = next(step for step in (1_000_000, 1_000, 1) if microsecond % step == 0)
        return self.traded_at + timedelta(microseconds=step)

    def was_traded_after(self, at: datetime) -> bool:
        """Return True if the trade is not before ``at``, at the resolution of ``traded_at``.

        10:06:00 is after 10:06:00.400, 10:05:59 is not.
        """
        return self.traded_before > at

    def age_ms(self, now: datetime) -> int:
        """Return the milliseconds since the receipt, plus the delay beyond NETWORK_ALLOWANCE_MS.

        Clocks of two machines differ slightly, so a tick received up to one second in the future
        has age 0. Beyond that its age is unknown, and the difference counts as its age, so that it
        fills nothing. For the same reason a trade that is further in the future than the allowance
        when it is received is a day old.
        """
        age = (now - self.received_at) // _MS
        if age < 0:
            age = 0 if age >= -_CLOCK_TOLERANCE_MS else -age
        delay = (self.received_at - self.traded_at) // _MS
        if delay < -NETWORK_ALLOWANCE_MS:
            return age + _UNKNOWN_AGE_MS
        return age + max(0, delay - NETWORK_ALLOWANCE_MS)

    def to_json(self) -> str:
        return msgspec.json.encode(
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
            }
        ).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse a tick written by ``to_json``. Raises MalformedTick for anything else."""
        stored = _decode(_STORED, text)
        return cls(
            code=stored.code,
            price=_whole(stored.price, "price", low=1, high=_PRICE_MAX),
            base=_optional_whole(stored.base, "base", low=1, high=_PRICE_MAX),
            volume=_whole(stored.volume, "volume", low=0, high=_VOLUME_MAX),
            cumulative_volume=_optional_whole(
                stored.cumulative_volume, "cumulative_volume", low=0, high=_VOLUME_MAX
            ),
            trade_type=stored.trade_type,
            change_type=stored.change_type,
            session=stored.session,
            exchange=stored.exchange,
            traded_at=_instant(stored.traded_at, "traded_at"),
            received_at=_instant(stored.received_at, "received_at"),
            position=Position.parse(stored.position),
        )


_ShortText = Annotated[str, msgspec.Meta(max_length=40)]
# Readers of the stream look codes up and insert them into SQL statements.
_ProductCode = Annotated[str, msgspec.Meta(pattern=rf"^{PRODUCT_CODE}\Z")]
# Numbers of the feed may be written as 70000.0.
_Number = int | float


class _StoredTick(msgspec.Struct):
    """JSON of a tick in Redis."""

    code: _ProductCode
    price: _Number
    volume: _Number
    traded_at: _ShortText
    received_at: _ShortText
    position: _ShortText
    base: _Number | None = None
    cumulative_volume: _Number | None = None
    trade_type: _ShortText | None = None
    change_type: _ShortText | None = None
    session: _ShortText | None = None
    exchange: _ShortText | None = None


class _TossTrade(msgspec.Struct, rename="camel"):
    """Fields of Toss's trade message that are used; others are ignored."""

    close: _Number
    volume: _Number
    dt: _ShortText
    code: _ShortText | None = None
    currency: _ShortText | None = None
    base: _Number | None = None
    cumulative_volume: _Number | None = None
    trade_type: _ShortText | None = None
    change_type: _ShortText | None = None
    session: _ShortText | None = None
    exchange: _ShortText | None = None


_Record = TypeVar("_Record")
_STORED = msgspec.json.Decoder(_StoredTick)
_TRADE = msgspec.json.Decoder(_TossTrade)


def parse_toss_trade(
    body: str | bytes, *, code: str, received_at: datetime, position: Position
) -> Tick:
    """Parse the body of a Toss trade message for the subscribed stock.

    Unknown fields and enum values are tolerated, because the feed has no contract. Fields that
    affect money are checked: code, a whole positive price, volumes, a time with offset. Raises
    MalformedTick.
    """
    trade = _decode(_TRADE, body)
    if trade.code is not None and trade.code != code:
        raise MalformedTick("code is not the subscribed one")
    if trade.currency not in (None, "KRW"):
        raise MalformedTick("currency is not KRW")
    return Tick(
        code=code,
        price=_whole(trade.close, "close", low=1, high=_PRICE_MAX),
        base=_optional_whole(trade.base, "base", low=1, high=_PRICE_MAX),
        volume=_whole(trade.volume, "volume", low=0, high=_VOLUME_MAX),
        cumulative_volume=_optional_whole(
            trade.cumulative_volume, "cumulativeVolume", low=0, high=_VOLUME_MAX
        ),
        trade_type=trade.trade_type,
        change_type=trade.change_type,
        session=trade.session,
        exchange=trade.exchange,
        traded_at=_instant(trade.dt, "dt"),
        received_at=received_at,
        position=position,
    )


def _decode(decoder: "msgspec.json.Decoder[_Record]", text: str | bytes) -> _Record:
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError) as fault:
        # The library names the field and the expected type, without the value.
        raise MalformedTick(str(fault)) from None


def _whole(value: _Number, name: str, *, low: int, high: int) -> int:
    """Return an integer. Raises MalformedTick for fractions and values out of range."""
    number = value if isinstance(value, int) else int(value)
    if number != value or not low <= number <= high:
        raise MalformedTick(f"{name} is not a whole number from {low} to {high}")
    return number


def _optional_whole(value: _Number | None, name: str, *, low: int, high: int) -> int | None:
    return None if value is None else _whole(value, name, low=low, high=high)


def _instant(text: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise MalformedTick(f"{name} has no offset")
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedTick(f"{name} is not an RFC 3339 time") from None
    if instant.year not in _YEARS:
        raise MalformedTick(f"{name} is out of range")
    return instant
