"""Benchmark of the relayer from WebSocket to Redis: `python -m benchmarks.relayer`.

Two readers take turns on one feed (`benchmarks.trade_feed`, its own process): a bare `websockets`
loop that only counts messages, and the real relayer process, whose trades are counted in the tick
stream of a Valkey. Then the feed slows down to 2,000 trades per second, and the delay from the
feed's creation of a trade to its read from the stream is measured, the reader's own time included.

Prints its progress and, as its last line, one JSON object with medians; `lost` is 0 if every sent
trade is in the stream.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from redis import Redis, ResponseError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.command_line import percentile, plan_from_command_line
from benchmarks.processes import rss_mib, running, wait_for
from benchmarks.trade_feed import code_of
from launcher.parent_death_signal import with_parent_death_signal
from launcher.plan import ROOT
from launcher.valkey import Valkey
from trading.config.settings import Settings
from trading.marketdata.health import RelayerHealth
from trading.marketdata.ticks import Tick
from trading.marketdata.topics import trade_topic
from trading.redis import keys

STOCKS = 100
WARM_UP_S = 1.0
DRAIN_S = 60.0
PACE = 2_000
# The reader disconnects when it has enough: the feed has much to send before it would answer.
CLOSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Rounds of the two readers, seconds of each, and seconds at the slower rate."""

    rounds: int = 3
    seconds: float = 6.0
    paced: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayerResult:
    """Results of the relayer: trades per second, lost trades, delays in ascending order, and
    memory.
    """

    per_s: float
    lost: int
    delays_ms: list[float]
    memory_mib: tuple[float, float]


class TradeFeed:
    """A running feed process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self._output = process.stdout
        self.port = int(self._output.readline())

    def sent(self) -> int:
        """Wait for the end of the feed, and return the number of sent trades."""
        return int(self._output.readline().removeprefix("sent "))


@contextmanager
def trade_feed(*, rate: int, seconds: float) -> Iterator[TradeFeed]:
    arguments = ("--stocks", str(STOCKS), "--rate", str(rate), "--seconds", str(seconds))
    process = subprocess.Popen(
        with_parent_death_signal([sys.executable, "-m", "benchmarks.trade_feed", *arguments]),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield TradeFeed(process)
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    options = plan_from_command_line(Plan, __doc__)
    with (
        tempfile.TemporaryDirectory(prefix="stocking-") as folder,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        bare, result = [], []
        for number in range(options.rounds):
            bare.append(asyncio.run(read_bare(options.seconds)))
            result.append(relay(valkey.url, Path(folder), rate=0, seconds=options.seconds))
            print(
                f"round {number + 1}: bare {bare[-1]:,.0f}/s, relayer {result[-1].per_s:,.0f}/s,"
                f" {result[-1].lost} lost"
            )
        paced = relay(valkey.url, Path(folder), rate=PACE, seconds=options.paced)
    print(
        f"at {paced.per_s:,.0f}/s from feed to stream: p50 {percentile(paced.delays_ms, 0.5):.1f} "
        "ms, p99"
        f" {percentile(paced.delays_ms, 0.99):.1f} ms, longest {paced.delays_ms[-1]:.1f} ms; memory"
        f" {paced.memory_mib[0]:.1f} MiB after {WARM_UP_S:g} s, {paced.memory_mib[1]:.1f} MiB at "
        "the end"
    )
    relayed, counted = statistics.median(one.per_s for one in result), statistics.median(bare)
    print(
        json.dumps(
            {
                "ticks_per_s": round(relayed),
                "bare_per_s": round(counted),
                "ratio": round(relayed / counted, 3),
                "p99_ms": round(percentile(paced.delays_ms, 0.99), 1),
                "lost": sum(one.lost for one in result) + paced.lost,
            }
        )
    )


async def read_bare(seconds: float) -> float:
    """Return the messages per second that a loop receives that does nothing with them."""
    with trade_feed(rate=0, seconds=WARM_UP_S + seconds + 1) as feed:
        async with connect(
            f"ws://127.0.0.1:{feed.port}/bare",
            compression=None,
            ping_interval=None,
            close_timeout=CLOSE_S,
        ) as socket:
            return await _rate_of(socket, seconds)


async def _rate_of(socket: ClientConnection, seconds: float) -> float:
    """Return the received messages per second."""
    count, began = 0, 0.0
    until = time.monotonic() + WARM_UP_S
    with suppress(ConnectionClosed):
        async for _ in socket:
            count += 1
            # The clock costs time too, and not every message needs it.
            if count % 16 == 0 and (now := time.monotonic()) >= until:
                if began:
                    return count / (now - began)
                count, began, until = 0, now, now + seconds
    return 0.0


def relay(redis_url: str, folder: Path, *, rate: int, seconds: float) -> RelayerResult:
    """Run the real relayer on a feed of `rate` trades per second (0: unlimited)."""
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        redis.flushall()
        redis.sadd(
            keys.RELAYER_SUBSCRIPTIONS, *(trade_topic(code_of(number)) for number in range(STOCKS))
        )
        settings = Settings.model_validate({"redis_url": redis_url, "log_format": "json"})
        log = folder / "relayer.log"
        with trade_feed(rate=rate, seconds=WARM_UP_S + seconds) as feed:
            addresses = {
                "TOSS_API_URL": f"http://127.0.0.1:{feed.port}",
                "TOSS_WEBSOCKET_URL": f"ws://127.0.0.1:{feed.port}/ws",
                "RELAYER_HEARTBEAT_MS": "0",
                "RELAYER_SUBSCRIPTION_BUDGET": str(STOCKS),
            }
            with running(["relayer"], settings, log, **addresses) as process:
                wait_for(lambda: _written(redis) > 0, "the first trade in Redis", process, log)
                if rate:
                    return _follow(redis, process.pid, feed, seconds)
                return _count(redis, process.pid, feed, seconds)


def _count(redis: "Redis", pid: int, feed: TradeFeed, seconds: float) -> RelayerResult:
    time.sleep(WARM_UP_S)
    memory, before, began = rss_mib(pid), _written(redis), time.monotonic()
    time.sleep(seconds - WARM_UP_S)
    after, ended = _written(redis), time.monotonic()
    lost = _lost(redis, feed.sent())
    return RelayerResult(
        per_s=(after - before) / (ended - began),
        lost=lost,
        delays_ms=[],
        memory_mib=(memory, rss_mib(pid)),
    )


def _follow(redis: "Redis", pid: int, feed: TradeFeed, seconds: float) -> RelayerResult:
    time.sleep(WARM_UP_S)
    delays_ms: list[float] = []
    place, memory, began = "$", rss_mib(pid), time.monotonic()
    while time.monotonic() - began < seconds - WARM_UP_S:
        found = cast("list[Any]", redis.xread({keys.TICK_STREAM: place}, block=1_000, count=1_000))
        read_at = datetime.now(UTC)
        for place, fields in found[0][1] if found else ():  # noqa: B007 - the last place is where to go on
            delays_ms.append(
                (read_at - Tick.from_json(fields[keys.TICK_FIELD]).traded_at)
                / timedelta(milliseconds=1)
            )
    per_s = len(delays_ms) / (time.monotonic() - began)
    return RelayerResult(
        per_s=per_s,
        lost=_lost(redis, feed.sent()),
        delays_ms=sorted(delays_ms),
        memory_mib=(memory, rss_mib(pid)),
    )


def _lost(redis: "Redis", sent: int) -> int:
    """Return how many sent trades are not in Redis: conflated or discarded ones count as lost."""
    deadline = time.monotonic() + DRAIN_S
    while _written(redis) < sent and time.monotonic() < deadline:
        time.sleep(0.05)
    record = redis.get(keys.RELAYER_HEALTH)
    if isinstance(record, str):
        health = RelayerHealth.from_json(record)
        print(f"  sent {sent:,}, written {_written(redis):,}, malformed {health.malformed_total}")
    return sent - _written(redis)


def _written(redis: "Redis") -> int:
    """Return how many entries the stream has ever had."""
    try:
        return int(redis.xinfo_stream(keys.TICK_STREAM)["entries-added"])
    except ResponseError:
        return 0


if __name__ == "__main__":
    main()
