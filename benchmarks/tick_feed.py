"""Trades at a steady rate, written to Redis with the relayer's script, a hundred batches per
second.

The relayer itself would take a third of a core for so many, and in production has its own machine.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.resting_book import Quote
from relayer.ticks.sequence import TickSequence
from relayer.ticks.writer import TickScript
from trading.marketdata.ticks import Position, Tick
from trading.redis.client import connect

_STEP_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """All stocks in turn at `ticks_per_s` for `seconds`.

    After `quiet_s`, trades meet targets of the `touched` stocks (by index) at a fixed rate, each
    stock once.
    """

    redis_url: str
    quotes: Sequence[Quote]
    touched: Sequence[int]
    ticks_per_s: int
    touches_per_s: float
    quiet_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FeedResult:
    """Number of ticks, and of those that met a target."""

    ticks: int
    touches: int


def run(feed: Feed) -> FeedResult:
    """Feed to the end. Ticks that became due during a write go into the next one."""
    redis, sequence = connect(feed.redis_url, timeout_s=10), TickSequence()
    write = TickScript(redis)
    turn = random.Random(1).sample(range(len(feed.quotes)), len(feed.quotes))
    waiting, armed = list(reversed(feed.touched)), set[int]()
    ticks = touches = 0
    began = time.monotonic()
    while (elapsed_s := time.monotonic() - began) < feed.seconds:
        due = int((elapsed_s - feed.quiet_s) * feed.touches_per_s)
        while waiting and len(feed.touched) - len(waiting) < due:
            armed.add(waiting.pop())
        batch = []
        while ticks < elapsed_s * feed.ticks_per_s:
            number = turn[ticks % len(turn)]
            batch.append(_trade_now(feed.quotes[number], sequence, is_met=number in armed))
            ticks, touches = ticks + 1, touches + (number in armed)
            armed.discard(number)
        if batch:
            write(batch)
        time.sleep(_STEP_S)
    redis.close()
    return FeedResult(ticks, touches)


def trade(quote: Quote, *, is_met: bool, at: datetime, position: Position) -> Tick:
    """Return a trade of a stock that meets its target, or that meets nothing."""
    return Tick(
        code=quote.code,
        price=quote.touch if is_met else quote.price,
        base=quote.price,
        volume=10,
        cumulative_volume=1_000_000,
        trade_type="BUY",
        change_type="UP",
        session="REGULAR_MARKET",
        exchange="KRX",
        traded_at=at,
        received_at=at,
        position=position,
    )


def _trade_now(quote: Quote, sequence: TickSequence, *, is_met: bool) -> Tick:
    now = datetime.now(UTC)
    return trade(quote, is_met=is_met, at=now, position=sequence.next(int(now.timestamp() * 1_000)))
