"""Limit orders in the running product, each checked against the recorded tick stream."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

from sqlalchemy import RowMapping, text

from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.system.stack import Trader, breaches, matcher_caught_up, register_traders, running_stack
from trading.exchange.order_types import Side
from trading.exchange.price_grid import floor_to_grid, tick_size
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Tick
from trading.orders.fill_price import FillRule, is_met

USERS = 30
ROUNDS = 4
STEPS = (-4, -2, -1, 0, 1, 3)


def place_near_last_price(trader: Trader, rng: random.Random) -> None:
    """Place an order a few tick sizes from the last price, on a random side."""
    last = trader.get(f"/trading/realtime/stock/{SAMSUNG}")["price"]
    price = floor_to_grid(last + rng.choice(STEPS) * tick_size(last))
    answer = trader.resting_order(rng.choice(("BUY", "SELL")), 1, price)
    assert answer.status_code == 201, answer.text


def stream_of(harness: TradingHarness, code: str) -> list[Tick]:
    return [
        tick
        for tick in TickStream(harness.core.redis).after(None, limit=100_000).ticks
        if tick.code == code
    ]


def first_matching_trade(order: RowMapping, ticks: list[Tick]) -> Tick | None:
    """Return the first trade after an order's acceptance that is within its limit."""
    side = Side(order["side"])
    return next(
        (
            tick
            for tick in ticks
            if tick.position.packed > order["accepted_position"]
            and tick.was_traded_after(order["accepted_at"].replace(tzinfo=UTC))
            and is_met(side, order["limit_price"], tick.price)
        ),
        None,
    )


def check_order(order: RowMapping, ticks: list[Tick]) -> str:
    """Check an order against the ticks. Return the rule that filled it, or "waits"."""
    first_match = first_matching_trade(order, ticks)
    if order["rule"] is None:
        assert first_match is None, order
        return "waits"
    tick = next(tick for tick in ticks if tick.position.packed == order["tick_position"])
    assert tick.price == order["tick_price"]
    if order["rule"] == FillRule.LIMIT_AT_LAST_TRADE:
        # Marketable on arrival: filled at the last trade at its execution. Between acceptance and
        # that trade there may be others, but it may not be a trade from before the last one at
        # acceptance.
        passed_over = [one for one in ticks if tick.position < one.position]
        assert all(one.position.packed > order["accepted_position"] for one in passed_over)
        assert order["price"] == tick.price
        assert is_met(Side(order["side"]), order["limit_price"], tick.price)
    elif order["rule"] == FillRule.ARRIVING_AT_PRINT and tick != first_match:
        # An execution reads the last trade of those that the relayer wrote in one millisecond.
        assert first_match is not None, order
        assert (tick.position.ms, tick.price) == (first_match.position.ms, first_match.price), order
        assert order["price"] == tick.price
    else:
        assert tick == first_match, order
        assert order["price"] == (
            order["limit_price"] if order["rule"] == FillRule.RESTING_AT_LIMIT else tick.price
        )
    return str(order["rule"])


def test_every_limit_order_fills_at_the_first_trade_within_its_limit(
    server_uri: str, tmp_path: Path
) -> None:
    """Thirty users place orders around the price while workers are killed.

    Then the market stops and every order is checked against the tick stream: filled by the right
    trade at the right price, or still resting.
    """
    with running_stack(server_uri, tmp_path) as (stack, harness):
        load = register_traders(stack, [f"waiting-{number}" for number in range(USERS)])
        for trader in load:
            trader.order("BUY", ROUNDS)
        wait_until(lambda: matcher_caught_up(harness), what="shares to sell")
        rng = random.Random(7)
        for round_number in range(ROUNDS):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda trader: place_near_last_price(trader, rng), load))
            worker = f"worker-{round_number % 2 + 1}"
            stack.kill(worker)
            stack.start(worker)
        # Far enough from the base price that the simulated market does not reach it.
        base = stream_of(harness, SAMSUNG)[-1].base or 0
        assert load[0].resting_order("BUY", 1, floor_to_grid(base * 75 // 100)).status_code == 201
        wait_for_trades(harness)
        stack.kill("relayer")
        wait_until(lambda: matcher_caught_up(harness), what="the matcher has read all")

        orders = harness.core.database.read(
            lambda session: session.execute(text(LIMIT_ORDERS_SQL)).mappings().all()
        )
        ticks = stream_of(harness, SAMSUNG)
        outcomes = [check_order(order, ticks) for order in orders]
        assert len(orders) == USERS * ROUNDS + 1
        assert {"waits", FillRule.RESTING_AT_LIMIT, FillRule.LIMIT_AT_LAST_TRADE} <= set(outcomes)
        assert breaches(harness) == []


LIMIT_ORDERS_SQL = """SELECT o.id, o.side, o.limit_price, o.accepted_position, o.accepted_at,
        e.rule, e.price, e.tick_position, e.tick_price
    FROM orders o LEFT JOIN order_executions e ON e.order_id = o.id WHERE o.order_type = 'LIMIT'"""


def wait_for_trades(harness: TradingHarness) -> None:
    """Wait for 150 more trades of the stock."""
    begun = len(stream_of(harness, SAMSUNG))
    wait_until(lambda: len(stream_of(harness, SAMSUNG)) >= begun + 150, what="trades")
