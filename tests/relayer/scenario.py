"""A relayer under faults: the market trades on, and in the end all must recover."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
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
    add_subscriptions,
    health,
    relayer,
    toss,
    until,
)
from trading.marketdata.ticks import Tick
from trading.redis import keys

TRADE_PERIOD_S = 0.01


class FaultScenario:
    """A stand-in, a relayer and their history. Each trade's price follows from its day total."""

    def __init__(
        self, stand_in: Toss, client: "redis.Redis", lines: Sequence[MutableMapping[str, Any]]
    ) -> None:
        self.server = stand_in.server
        self.lines = lines
        self.traded = 0
        self._stand_in = stand_in
        self._client = client

    def trade(self, times: int = 1) -> None:
        """Publish a trade of each stock ``times`` times."""
        for _ in range(times):
            self.traded += 1
            for code in (SAMSUNG, HYNIX):
                self._stand_in.trade(self.traded, code=code, price=price_at(self.traded))

    def reasons(self) -> list[str]:
        """Return why connections failed or were lost, in order."""
        return [line["reason"] for line in self.lines if line["event"] == "feed_unavailable"]

    def subscription_ids(self) -> set[str]:
        """Return the subscription ids under which the server sends trades now."""
        return {
            each for listeners in self.server._listeners.values() for each in listeners.values()
        }

    def all_subscribed(self) -> bool:
        """Return True if the current connection serves all stocks.

        The record in Redis may still describe an earlier connection, so its number is compared.
        """
        connections = [
            line for line in self.lines if line["event"] in {"feed_connected", "feed_closed"}
        ]
        if not connections or connections[-1]["event"] == "feed_closed":
            return False
        record = health(self._client)
        present = connections[-1]["connections_total"]
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
        """Return a stock's ticks in Redis, in order."""
        ticks = [
            Tick.from_json(fields[keys.TICK_FIELD])
            for _, fields in self._client.xrange(keys.TICK_STREAM)
        ]
        return [tick for tick in ticks if tick.code == code]

    async def keep_trading(self) -> None:
        """Trade until cancelled."""
        while True:
            self.trade()
            await asyncio.sleep(TRADE_PERIOD_S)

    async def wait_for_losses(self, times: int = 2) -> None:
        """Wait until ``times`` connections failed or were lost."""
        await until(
            lambda: len(self.reasons()) >= times,
            what=f"{times} connections are lost",
        )

    async def recover(self) -> None:
        """Remove the faults; wait until everything is subscribed again and trades arrive."""
        self.server.faults = Faults()
        await until(self.all_subscribed, what="everything is subscribed again")
        await self.wait_for_trades()

    async def wait_for_trades(self) -> None:
        """Trade once more and wait until this trade, and so all before it, is in Redis."""
        self.trade()
        last = self.traded
        for code in (SAMSUNG, HYNIX):
            await until(
                lambda: any(tick.cumulative_volume == last for tick in self.ticks(code)),  # noqa: B023
                what=f"the trade of {code} is in Redis",
            )

    def check(self) -> None:
        """Check what no fault may change.

        Redis holds only real trades, in order and once; no log line contains a token; waits grow.
        """
        for code in (SAMSUNG, HYNIX):
            ticks = self.ticks(code)
            assert all(tick.price == price_at(tick.cumulative_volume or 0) for tick in ticks)
            assert len({tick.cumulative_volume for tick in ticks}) == len(ticks)
        log = repr(self.lines)
        assert not [token for token in self.server._tokens if token in log]
        waits = [line["retry_in_s"] for line in self.lines if line["event"] == "feed_unavailable"]
        assert all(wait <= FIRST_CEILING_S * 2**n for n, wait in enumerate(waits))


def price_at(total: int) -> int:
    """Return the price of the trade with this day total; half of them are off the price grid."""
    return 70_000 + total * 50 % 9_950


@asynccontextmanager
async def run_scenario(
    client: "redis.Redis",
    valkey_url: str,
    *,
    quiet: bool = False,
    beat_ms: int = CALM_BEAT_MS,
    **faults: object,
) -> AsyncIterator[FaultScenario]:
    """Run a relayer with two stocks under ``faults`` until the context ends.

    Both trade a hundred times a second, never if ``quiet``. At the end the faults are removed, and
    the test fails unless the relayer recovers.
    """
    add_subscriptions(client, SAMSUNG, HYNIX)
    with capture_logs() as lines:
        async with toss(heart_beat_ms=beat_ms) as stand_in:
            stand_in.server.faults = Faults.model_validate(faults)
            async with relayer(stand_in.settings(valkey_url, RELAYER_HEARTBEAT_MS=str(beat_ms))):
                scenario = FaultScenario(stand_in, client, lines)
                market = asyncio.create_task(
                    asyncio.Event().wait() if quiet else scenario.keep_trading()
                )
                yield scenario
                await scenario.recover()
                market.cancel()
                await asyncio.wait([market])
        scenario.check()
