"""A relayer under faults: a market trades on while the sandbox misbehaves, and in the end everything must be well again."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import redis
from structlog.testing import capture_logs

from relayer.backoff import FIRST_CEILING_S
from sandbox.faults import Faults
from tests.relayer.harness import (
    CALM_BEAT_MS,
    HYNIX,
    SAMSUNG,
    Toss,
    ask_for,
    health,
    relayer,
    toss,
    until,
)
from trading.marketdata.ticks import Tick
from trading.redis import keys

TRADE_PERIOD_S = 0.01


class Ordeal:
    """A stand-in, a relayer and what both have done so far. Every trade has a price that only its day total can have."""

    def __init__(
        self, stand_in: Toss, client: "redis.Redis", lines: Sequence[MutableMapping[str, Any]]
    ) -> None:
        self.server = stand_in.server
        self.lines = lines
        self.traded = 0
        self._stand_in = stand_in
        self._client = client

    def trade(self, times: int = 1) -> None:
        """One trade of each stock, so often."""
        for _ in range(times):
            self.traded += 1
            for code in (SAMSUNG, HYNIX):
                self._stand_in.trade(self.traded, code=code, price=price_at(self.traded))

    def reasons(self) -> list[str]:
        """Why a connection was lost or did not come about, in order."""
        return [line["reason"] for line in self.lines if line["event"] == "feed_unavailable"]

    def subscription_ids(self) -> set[str]:
        """Under which ids the server sends trades now."""
        return {
            each for listeners in self.server._listeners.values() for each in listeners.values()
        }

    def all_served(self) -> bool:
        """By the relayer's word on its present connection; its word on an earlier one may still stand in Redis."""
        linked = [line for line in self.lines if line["event"] in {"feed_connected", "feed_closed"}]
        if not linked or linked[-1]["event"] == "feed_closed":
            return False
        record = health(self._client)
        present = linked[-1]["connections_total"]
        return record is not None and (
            record.reconnects + 1,
            record.connected,
            record.subscriptions,
        ) == (
            present,
            True,
            2,
        )

    def ticks(self, code: str = SAMSUNG) -> list[Tick]:
        """What Redis was told of a stock, in order."""
        told = [
            Tick.from_json(fields[keys.TICK_FIELD])
            for _, fields in self._client.xrange(keys.TICK_STREAM)
        ]
        return [tick for tick in told if tick.code == code]

    async def trade_on(self) -> None:
        """Trade for ever."""
        while True:
            self.trade()
            await asyncio.sleep(TRADE_PERIOD_S)

    async def lose(self, times: int = 2) -> None:
        """Wait until a connection was lost, or did not come about, so often."""
        await until(
            lambda: len(self.reasons()) >= times,
            what=f"{times} connections are lost",
        )

    async def recover(self) -> None:
        """Without the faults everything is subscribed again, and trades arrive."""
        self.server.faults = Faults()
        await until(self.all_served, what="everything is subscribed again")
        await self.arrive()

    async def arrive(self) -> None:
        """One more trade of each stock, and all that came before it, is in Redis."""
        self.trade()
        last = self.traded
        for code in (SAMSUNG, HYNIX):
            await until(
                lambda: any(tick.cumulative_volume == last for tick in self.ticks(code)),  # noqa: B023
                what=f"the trade of {code} is in Redis",
            )

    def check(self) -> None:
        """What no fault may change: only trades that were made are in Redis, in order, once; no log line has a token; waits grow."""
        for code in (SAMSUNG, HYNIX):
            ticks = self.ticks(code)
            assert all(tick.price == price_at(tick.cumulative_volume or 0) for tick in ticks)
            assert all(
                (a.cumulative_volume or 0) < (b.cumulative_volume or 0) for a, b in pairwise(ticks)
            )
        log = repr(self.lines)
        assert not [token for token in self.server._tokens if token in log]
        waits = [line["retry_in_s"] for line in self.lines if line["event"] == "feed_unavailable"]
        assert all(wait <= FIRST_CEILING_S * 2**n for n, wait in enumerate(waits))


def price_at(total: int) -> int:
    """The price of the trade after which so many shares were traded: off the grid by half a step as often as not."""
    return 70_000 + total * 50 % 9_950


@asynccontextmanager
async def ordeal(
    client: "redis.Redis",
    valkey_url: str,
    *,
    quiet: bool = False,
    beat_ms: int = CALM_BEAT_MS,
    **faults: object,
) -> AsyncIterator[Ordeal]:
    """A relayer with two stocks that trade a hundred times a second (never when ``quiet``) while ``faults`` hold, until they are undone.

    Afterwards the relayer has recovered, or the test fails.
    """
    ask_for(client, SAMSUNG, HYNIX)
    with capture_logs() as lines:
        async with toss(heart_beat_ms=beat_ms) as stand_in:
            stand_in.server.faults = Faults.model_validate(faults)
            async with relayer(stand_in.settings(valkey_url, RELAYER_HEARTBEAT_MS=str(beat_ms))):
                scene = Ordeal(stand_in, client, lines)
                market = asyncio.create_task(asyncio.Event().wait() if quiet else scene.trade_on())
                yield scene
                await scene.recover()
                market.cancel()
                await asyncio.wait([market])
        scene.check()
