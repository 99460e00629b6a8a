"""Drive the simulated market at its rate, and replay a file of bars when a client subscribes."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from random import Random

from sandbox.market import Market
from sandbox.replay import BAR_S, Bar, Tape, opening_tape, play_bar
from sandbox.trade import Trade
from trading.exchange.time import KST
from trading.stocks.listing import ListedStock

STEP_S = 0.02
# After a replay without --loop, one share trades at the last close at this interval.
AFTER_REPLAY_PERIOD_S = 2.0

Publish = Callable[[Trade], None]


async def run_market(market: Market, *, rate: float, publish: Publish) -> None:
    """Trade forever at `rate` trades per second. After a pause, catch up at most one second of
    trades.
    """
    loop = asyncio.get_running_loop()
    due, last = 0.0, loop.time()
    while True:
        await asyncio.sleep(STEP_S)
        now = loop.time()
        due = min(rate, due + (now - last) * rate)
        last = now
        while due >= 1:
            due -= 1
            publish(market.trade(datetime.now(UTC)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Bars to replay. A `speed` of 60 plays a minute bar in one second."""

    bars: Sequence[Bar]
    stock: ListedStock
    speed: float
    seed: int
    base: int | None = None
    loop: bool = False


async def play(replay: Replay, *, publish: Publish, log: Callable[[str], None]) -> None:
    """Replay the bars back to back and skip gaps between them. The trades are dated now: a trade of
    the bars' own day fills nothing today.

    Start again with `loop`; otherwise keep trading at the last close.
    """
    rng = Random(replay.seed)
    tape = opening_tape(
        replay.bars, replay.stock, base=replay.base, speed=replay.speed, at=datetime.now(UTC)
    )
    code = replay.stock.code
    for turn in count(1):
        log(
            f"replay {code} starts: turn {turn}, {len(replay.bars)} bars, {BAR_S / replay.speed:g} "
            f"s each, base {tape.base}"
        )
        tape = await _play_once(replay, tape, rng, publish=publish, log=log)
        if not replay.loop:
            break
    log(
        f"replay {code} is over: its last close {tape.price} goes on printing every "
        f"{AFTER_REPLAY_PERIOD_S:g} s"
    )
    while True:
        await asyncio.sleep(AFTER_REPLAY_PERIOD_S)
        tape, trade = tape.print(tape.price, 1, rng.choice(("BUY", "SELL")))
        publish(_traded_now(trade))


def _traded_now(trade: Trade) -> Trade:
    return replace(trade, traded_at=datetime.now(UTC))


async def _play_once(
    replay: Replay, tape: Tape, rng: Random, *, publish: Publish, log: Callable[[str], None]
) -> Tape:
    loop = asyncio.get_running_loop()
    bar_s = BAR_S / replay.speed
    starts_at = loop.time()
    for bar in replay.bars:
        stamp = bar.stamp.astimezone(KST).strftime("%Y-%m-%d %H:%M:%S")
        begins = datetime.now(UTC).isoformat(timespec="milliseconds")
        log(f"replay {replay.stock.code} bar {stamp} low {bar.low} high {bar.high} from {begins}")
        printed = list(play_bar(tape, bar, rng))
        for index, (following, trade) in enumerate(printed):
            await asyncio.sleep(max(0.0, starts_at + bar_s * index / len(printed) - loop.time()))
            publish(_traded_now(trade))
            tape = following
        starts_at += bar_s
        await asyncio.sleep(max(0.0, starts_at - loop.time()))
    return tape
