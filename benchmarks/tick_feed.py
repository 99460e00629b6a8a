"""The relayer's part in a benchmark: trades at a steady rate, written to Redis with the relayer's script, a hundred batches a second.

The relayer itself would take a third of a core for so many, and in a large market has a machine of its own.
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
    """What is fed: all stocks in turn at ``ticks_per_s`` for ``seconds``. After ``quiet_s`` so many targets a second are met by a trade, each of another
    of the ``touched`` stocks (their indexes), for as long as there are any."""

    redis_url: str
    quotes: Sequence[Quote]
    touched: Sequence[int]
    ticks_per_s: int
    touches_per_s: float
    quiet_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fed:
    """How many ticks were fed, and how many of them met a target."""

    ticks: int
    touches: int


def run(feed: Feed) -> Fed:
    """Feed to the end. What became due while the last ticks were written is written next, all together."""
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
    return Fed(ticks, touches)


def trade(quote: Quote, *, is_met: bool, at: datetime, position: Position) -> Tick:
    """A trade of a stock at this moment: one that meets its target, or one that meets nothing."""
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
