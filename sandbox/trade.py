"""A trade of the simulated market in the format of Toss's feed."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self

Side = Literal["BUY", "SELL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """A day's shares, won, and shares by the side that initiated the trade."""

    volume: int = 0
    amount: int = 0
    bought: int = 0
    sold: int = 0

    def plus(self, price: int, volume: int, side: Side) -> Self:
        """Return the totals after one more trade."""
        return replace(
            self,
            volume=self.volume + volume,
            amount=self.amount + price * volume,
            bought=self.bought + (volume if side == "BUY" else 0),
            sold=self.sold + (volume if side == "SELL" else 0),
        )

    @property
    def strength(self) -> float:
        """체결강도: bought per sold shares in percent, two decimals; 100 before the first sale."""
        return round(100 * self.bought / self.sold, 2) if self.sold else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One trade. Price and base price are in won; `totals` include it."""

    code: str
    traded_at: datetime
    price: int
    base: int
    volume: int
    side: Side
    totals: DayTotals

    def body(self) -> bytes:
        """Return the body of a MESSAGE."""
        return json.dumps(self.record(), separators=(",", ":")).encode()

    def record(self) -> dict[str, object]:
        """Return the fields of a Korean trade message."""
        change = "FLAT" if self.price == self.base else "UP" if self.price > self.base else "DOWN"
        return {
            "code": self.code,
            "dt": self.traded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "session": "REGULAR",
            "exchange": "KRX",
            "currency": "KRW",
            "base": self.base,
            "close": self.price,
            "volume": self.volume,
            "tradeType": self.side,
            "changeType": change,
            "tradingStrength": self.totals.strength,
            "cumulativeVolume": self.totals.volume,
            "cumulativeAmount": self.totals.amount,
        }
