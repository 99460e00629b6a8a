"""The sandbox's clockwork: makes the play market trade at its rate, and plays a file of bars back when someone listens."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from random import Random

from sandbox.market import Market
from sandbox.replay import BAR_S, Bar, Tape, opening_tape, play_bar
from sandbox.trade import Trade
from trading.exchange.time import KST
from trading.stocks.listing import ListedStock

STEP_S = 0.02
# After the end of a replay without --loop its stock stays live: one share at the last close, this often.
EPILOGUE_PERIOD_S = 2.0

Publish = Callable[[Trade], None]


async def trade_at_random(market: Market, *, rate: float, publish: Publish) -> None:
    """Trade for ever, ``rate`` times a second. After a pause of the machine at most one second's trades are made up for."""
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
    """What to play and how: ``speed`` 60 plays a minute's bar in a second."""

    bars: Sequence[Bar]
    stock: ListedStock
    speed: float
    seed: int
    base: int | None = None
    loop: bool = False


async def play(replay: Replay, *, publish: Publish, say: Callable[[str], None]) -> None:
    """Play the bars back to back, for ever: again with ``loop``, otherwise holding the last close. Gaps in the file are skipped."""
    draw = Random(replay.seed)
    tape = opening_tape(
        replay.bars, replay.stock, base=replay.base, speed=replay.speed, at=datetime.now(UTC)
    )
    code = replay.stock.code
    for turn in count(1):
        say(
            f"replay {code} starts: turn {turn}, {len(replay.bars)} bars, {BAR_S / replay.speed:g} s each, base {tape.base}"
        )
        tape = await _play_once(replay, tape, draw, publish=publish, say=say)
        if not replay.loop:
            break
    say(
        f"replay {code} is over: its last close {tape.price} goes on printing every {EPILOGUE_PERIOD_S:g} s"
    )
    while True:
        await asyncio.sleep(EPILOGUE_PERIOD_S)
        tape, trade = tape.print(tape.price, 1, draw.choice(("BUY", "SELL")))
        publish(trade)


async def _play_once(
    replay: Replay, tape: Tape, draw: Random, *, publish: Publish, say: Callable[[str], None]
) -> Tape:
    loop = asyncio.get_running_loop()
    bar_s = BAR_S / replay.speed
    starts_at = loop.time()
    for bar in replay.bars:
        stamp = bar.stamp.astimezone(KST).strftime("%Y-%m-%d %H:%M:%S")
        say(f"replay {replay.stock.code} bar {stamp} low {bar.low} high {bar.high}")
        printed = list(play_bar(tape, bar, draw))
        for index, (following, trade) in enumerate(printed):
            await asyncio.sleep(max(0.0, starts_at + bar_s * index / len(printed) - loop.time()))
            publish(trade)
            tape = following
        starts_at += bar_s
        await asyncio.sleep(max(0.0, starts_at - loop.time()))
    return tape
