"""Random trading of a user over some weeks, for tests that compare totals with rows."""

import random
from contextlib import suppress
from uuid import UUID

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from trading.errors import DomainError
from trading.exchange.order_types import Side

FIRST_PRICES = {SAMSUNG: 70_000, HYNIX: 200_000}


def trade_for_weeks(harness: TradingHarness, user: UUID, *, seed: int, steps: int = 60) -> None:
    """Buy and sell two stocks at moving prices, with hours or days in between.

    Market orders fill at once and limit orders in several parts.
    """
    chance = random.Random(seed)
    prices = dict(FIRST_PRICES)
    for _ in range(steps):
        code = chance.choice((SAMSUNG, HYNIX))
        prices[code] += chance.randint(-3, 3) * 500
        harness.tick(prices[code], code)
        side = chance.choice((Side.BUY, Side.SELL))
        limit = chance.choice((None, prices[code]))
        with suppress(DomainError):
            harness.place(user, side, chance.randint(1, 6), code, limit=limit)
        harness.run_all()
        harness.tick(prices[code], code, volume=chance.randint(1, 9))
        harness.match()
        harness.run_all()
        harness.clock.advance(hours=chance.choice((0, 1, 5, 20, 70)), minutes=chance.randint(1, 59))
