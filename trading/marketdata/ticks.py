"""A tick: one trade as Toss reported it, with the place that the relayer gave it in the tick stream.

Two clocks meet here. ``traded_at`` is Toss's; ``received_at`` is the relayer's, and the age of a tick is measured from it alone.
Order among ticks is their position in the stream, never a comparison of clocks.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple, Self, TypeVar

import msgspec

from trading.marketdata.stock_codes import PRODUCT_CODE
from trading.money import change_rate_bp

_PRICE_MAX = 10**9
_VOLUME_MAX = 10**15
_POSITIONS_PER_MS = 1_000_000
# Of the last millisecond whose positions are 64-bit integers, as packed: in the year 2262.
MS_MAX = 2**63 // _POSITIONS_PER_MS - 1
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
            dash
            and ms.isascii()
            and ms.isdigit()
            and n.isascii()
            and n.isdigit()
            and len(ms) <= 13
            and len(n) <= 6
        ):
            raise MalformedTick("position is no stream id")
        if int(ms) > MS_MAX:
            raise MalformedTick("position is beyond all time")
        return cls(int(ms), int(n))

    @property
    def packed(self) -> int:
        """The position as one 64-bit integer of the same order, as the database keeps it."""
        return self.ms * _POSITIONS_PER_MS + self.n

    @classmethod
    def unpack(cls, packed: int) -> Self:
        return cls(*divmod(packed, _POSITIONS_PER_MS))


class Tick(msgspec.Struct, frozen=True, kw_only=True):
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
        return change_rate_bp(self.price, self.base) if self.base else None

    def age_ms(self, now: datetime) -> int:
        """Milliseconds since the relayer received it.

        Two clocks are never quite equal, so a tick from up to a second ahead is as fresh as can be. From further ahead its age is unknown, and
        it counts as old as the clocks disagree: no fill is better than one at a price of unknown age.
        """
        age = (now - self.received_at) // timedelta(milliseconds=1)
        return age if age >= 0 else 0 if age >= -_CLOCK_TOLERANCE_MS else -age

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
        """A tick as ``to_json`` wrote it; MalformedTick for anything else."""
        stored = _decoded(_STORED, text)
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
# Whoever reads the stream takes a code for one that he may look up, and put into the text of a statement.
_ProductCode = Annotated[str, msgspec.Meta(pattern=rf"^{PRODUCT_CODE}\Z")]
# The feed's JSON numbers may read 70000.0.
_Number = int | float


class _StoredTick(msgspec.Struct):
    """A tick's JSON in Redis."""

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
    """The fields of Toss's trade message that mean something to us; all others are passed over."""

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
    """A tick from the body of a Toss trade message for the stock that was subscribed.

    Unknown fields and enum values are tolerated: the feed has no contract and grows. What decides money is checked: the code,
    a whole positive price, volumes, a time with an offset. MalformedTick otherwise.
    """
    trade = _decoded(_TRADE, body)
    if trade.code is not None and trade.code != code:
        raise MalformedTick("code is not the one subscribed")
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


def _decoded(decoder: "msgspec.json.Decoder[_Record]", text: str | bytes) -> _Record:
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError) as fault:
        # The library names the field and what was expected of it, never what stood there.
        raise MalformedTick(str(fault)) from None


def _whole(value: _Number, name: str, *, low: int, high: int) -> int:
    """The number as an integer; anything with a fraction is no price or volume in won and shares."""
    number = value if isinstance(value, int) else int(value)
    if number != value or not low <= number <= high:
        raise MalformedTick(f"{name} is no whole number from {low} to {high}")
    return number


def _optional_whole(value: _Number | None, name: str, *, low: int, high: int) -> int | None:
    return None if value is None else _whole(value, name, low=low, high=high)


def _instant(text: str, name: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise MalformedTick(f"{name} has no offset")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedTick(f"{name} is no RFC 3339 time") from None
