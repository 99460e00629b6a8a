"""Rate of the simulated market, and the replay of bars."""

import asyncio
from datetime import UTC, datetime, timedelta

from sandbox.exchange import Replay, play, run_market
from sandbox.market import Market
from sandbox.replay import Bar
from sandbox.trade import Trade
from tests.relayer.harness import until
from trading.exchange.time import KST
from trading.stocks.listing import seed_listing

STOCKS = seed_listing()
STAMP = datetime(2026, 1, 15, 9, 1, tzinfo=KST)
BARS = [
    Bar(stamp=STAMP, open=70_000, high=70_200, low=69_900, close=70_100, volume=100),
    Bar(
        stamp=STAMP + timedelta(minutes=1),
        open=70_100,
        high=70_100,
        low=70_100,
        close=70_100,
        volume=0,
    ),
    # The gap of an hour in the file takes no time.
    Bar(
        stamp=STAMP + timedelta(hours=1),
        open=70_100,
        high=70_300,
        low=70_100,
        close=70_300,
        volume=50,
    ),
]


async def test_trades_do_not_exceed_the_rate() -> None:
    trades: list[Trade] = []
    loop = asyncio.get_running_loop()
    market = Market(STOCKS, seed=1, at=datetime.now(UTC))
    started_at = loop.time()
    trading = asyncio.create_task(run_market(market, rate=400, publish=trades.append))
    await until(lambda: len(trades) >= 400, what="400 trades")
    trading.cancel()
    result = loop.time() - started_at
    assert result > 0.7


def replayed(replay: Replay, trades_wanted: int) -> tuple[list[Trade], list[str]]:
    """Return the first trades of a replay and its log."""

    async def listen() -> tuple[list[Trade], list[str]]:
        trades: list[Trade] = []
        said: list[str] = []
        playing = asyncio.create_task(play(replay, publish=trades.append, log=said.append))
        await until(lambda: len(trades) >= trades_wanted, what=f"{trades_wanted} trades")
        playing.cancel()
        return trades, said

    return asyncio.run(listen())


def test_replay_plays_all_bars_and_then_keeps_the_last_close() -> None:
    """A bar without volume has no print. After the end, single shares keep the stock live."""
    began = datetime.now(UTC)
    trades, said = replayed(
        Replay(bars=BARS, stock=STOCKS[0], speed=1_200, seed=1), trades_wanted=39
    )

    times = [trade.traded_at for trade in trades]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= datetime.now(UTC)
    assert (trades[38].price, trades[38].volume) == (70_300, 1)
    assert trades[38].totals.volume == trades[37].totals.volume + 1
    bar, begins = said[1].split(" from ")
    assert bar == "replay A005930 bar 2026-01-15 09:01:00 low 69900 high 70200"
    assert datetime.fromisoformat(begins) <= times[0]
    assert [line.split()[2] for line in said] == ["starts:", "bar", "bar", "bar", "is"]


def test_looped_replay_starts_again_with_growing_totals() -> None:
    """The relayer discards a trade whose total is lower as an old one."""
    trades, said = replayed(
        Replay(bars=BARS, stock=STOCKS[0], speed=6_000, seed=1, loop=True), trades_wanted=80
    )

    totals = [trade.totals.volume for trade in trades]
    assert totals == sorted(set(totals))
    assert trades[38].price == trades[0].price
    assert "replay A005930 starts: turn 2, 3 bars, 0.01 s each, base 70000" in said
