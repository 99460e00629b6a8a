"""Whether an order may be filled by a tick, and at which price: never at one that a trader could not have had."""

from dataclasses import dataclass
from enum import StrEnum


class Postponement(StrEnum):
    """Why an order is not filled now. It stays open and is looked at again."""

    NO_TICK = "no-tick"
    STALE_TICK = "stale-tick"


class FillRule(StrEnum):
    """The rule by which an execution got its price; kept with it as evidence."""

    MARKET_AT_LAST_TRADE = "market-at-last-trade"


@dataclass(frozen=True, slots=True)
class TickEvidence:
    """The part of a tick that decides a fill: its price (won), its age now (ms) and its place in the tick stream."""

    price: int
    age_ms: int
    position: int


@dataclass(frozen=True, slots=True)
class Fill:
    price: int
    rule: FillRule


def market_fill(tick: TickEvidence | None, *, freshness_ms: int) -> Fill | Postponement:
    """A market order fills at the last trade, if that trade is at most ``freshness_ms`` old."""
    if tick is None:
        return Postponement.NO_TICK
    if tick.age_ms > freshness_ms:
        return Postponement.STALE_TICK
    return Fill(price=tick.price, rule=FillRule.MARKET_AT_LAST_TRADE)
