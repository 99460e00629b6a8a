"""A Toss stand-in and a relayer in the test's event loop, over real sockets."""

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
# Short heart-beats for tests of missing ones. With the calm ones a busy machine causes no timeouts.
BEAT_MS = 200
CALM_BEAT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Toss:
    """A running stand-in and its port."""

    server: TossServer
    port: int

    def settings(self, redis_url: str, **more: str) -> Settings:
        """Return relayer settings for this stand-in."""
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
    """Run a stand-in without a market: the test publishes the trades."""
    server = TossServer(heart_beat_ms=heart_beat_ms)
    async with server.listen("127.0.0.1", port) as bound:
        yield Toss(server, bound)


@asynccontextmanager
async def relayer(settings: Settings, *, feed: Feed | None = None) -> AsyncIterator[None]:
    """Run the only daemon until the context ends; then it must stop before the deadline."""
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
    """Wait until ``condition()`` is true; at the deadline fail the test, naming ``what``."""
    try:
        async with asyncio.timeout(deadline_s):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"Not within {deadline_s:g} s: {what}")


def add_subscriptions(client: "redis.Redis", *codes: str) -> None:
    """Add the trade topics of stocks to the commanded subscriptions."""
    client.sadd(keys.RELAYER_SUBSCRIPTIONS, *(trade_topic(code) for code in codes))


def health(client: "redis.Redis") -> RelayerHealth | None:
    """Return the relayer's current health record."""
    record = client.get(keys.RELAYER_HEALTH)
    return None if record is None else RelayerHealth.from_json(record)


def confirmed_count(client: "redis.Redis") -> int:
    """Return the number of confirmed subscriptions in the health record; 0 if disconnected."""
    record = health(client)
    return record.subscriptions if record is not None and record.connected else 0
