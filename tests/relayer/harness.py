"""A sandbox and a relayer in the test's own event loop, over real sockets, and a way to wait for what they do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest
import redis

from relayer.daemon import Daemon
from relayer.feed.interface import Feed
from sandbox.toss_server import TossServer
from sandbox.trade import DayTotals, Trade
from tests.support.deadlines import DEADLINE_S
from trading.config.settings import Settings, load
from trading.exchange.time import KST
from trading.marketdata.health import RelayerHealth
from trading.marketdata.topics import trade_topic
from trading.redis import keys

SAMSUNG = "A005930"
HYNIX = "A000660"
# Beats that are missed soon, for tests of that. With the others no stall of a busy machine is silence.
BEAT_MS = 200
CALM_BEAT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Toss:
    """A running stand-in and where it listens."""

    server: TossServer
    port: int

    def settings(self, redis_url: str, **more: str) -> Settings:
        """A relayer's settings for this stand-in, with heart-beats fast enough for a test."""
        return load(
            {
                "REDIS_URL": redis_url,
                "TOSS_API_URL": f"http://127.0.0.1:{self.port}",
                "TOSS_WEBSOCKET_URL": f"ws://127.0.0.1:{self.port}/ws",
                "RELAYER_HEARTBEAT_MS": str(CALM_BEAT_MS),
                **more,
            }
        )

    def trade(self, volume: int, *, code: str = SAMSUNG, price: int = 70_000) -> None:
        """Publish a trade after which ``volume`` shares were traded today."""
        self.server.publish(
            Trade(
                code=code,
                traded_at=datetime(2026, 11, 20, 10, 0, tzinfo=KST),
                price=price,
                base=70_000,
                volume=1,
                side="BUY",
                totals=DayTotals(volume=volume, amount=volume * price, bought=volume),
            )
        )


@asynccontextmanager
async def toss(*, heart_beat_ms: int = CALM_BEAT_MS, port: int = 0) -> AsyncIterator[Toss]:
    """A stand-in without a market: the test says what is traded."""
    server = TossServer(heart_beat_ms=heart_beat_ms)
    async with server.listen("127.0.0.1", port) as bound:
        yield Toss(server, bound)


@asynccontextmanager
async def relayer(settings: Settings, *, feed: Feed | None = None) -> AsyncIterator[None]:
    """A daemon, the only one, that runs until the context ends and must then be gone within five seconds."""
    stop = asyncio.Event()
    running = asyncio.create_task(Daemon(settings, feed=feed, grace_s=0).run(stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await running


async def until(
    condition: Callable[[], object], *, what: str, deadline_s: float = DEADLINE_S
) -> None:
    """Return as soon as ``condition()`` is true; fail the test, naming ``what``, at the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"Not within {deadline_s:g} s: {what}")


def ask_for(client: "redis.Redis", *codes: str) -> None:
    """Put the trades of stocks into the set of what should be subscribed."""
    client.sadd(keys.RELAYER_SUBSCRIPTIONS, *(trade_topic(code) for code in codes))


def health(client: "redis.Redis") -> RelayerHealth | None:
    """The relayer's present record."""
    record = client.get(keys.RELAYER_HEALTH)
    return None if record is None else RelayerHealth.from_json(record)


def served(client: "redis.Redis") -> int:
    """How many destinations the relayer is served with now, by its own word; 0 while it is not connected."""
    record = health(client)
    return record.subscriptions if record is not None and record.connected else 0
