"""Limit orders in the running product, each checked against the recorded tick stream."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import RowMapping, text

from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.system.stack import Trader, breaches, matcher_caught_up, register_traders, running_stack
from trading.exchange.order_types import Side
from trading.exchange.price_grid import floor_to_grid, tick_size
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Position, Tick
from trading.orders.fill_price import FillRule, is_met

USERS = 30
ROUNDS = 4
STEPS = (-4, -2, -1, 0, 1, 3)
# A matcher may read a trade between an order's read of the stream and its COMMIT. Such a trade
# counts as before the acceptance (decision 7). On a loaded machine the COMMIT is this late.
COMMIT_MS = 2_000


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


def matching_trades(order: RowMapping, ticks: list[Tick]) -> list[Tick]:
    """Return the trades after an order's acceptance that are within its limit."""
    side = Side(order["side"])
    return [
        tick
        for tick in ticks
        if tick.position.packed > order["accepted_position"]
        and is_met(side, order["limit_price"], tick.price)
    ]


def is_before_commit(order: RowMapping, tick: Tick) -> bool:
    """Return True if a matcher may have read the trade before the order was visible."""
    accepted = Position.unpack(order["accepted_position"])
    return tick.position.ms <= accepted.ms + COMMIT_MS


def is_passed_over(order: RowMapping, ticks: list[Tick]) -> bool:
    """Return True if a trade within the limit of an order came before the one that filled it."""
    if order["rule"] == FillRule.LIMIT_AT_LAST_TRADE:
        return False
    filled_at = order["tick_position"]
    first = next(iter(matching_trades(order, ticks)), None)
    if first is None or filled_at is None:
        return first is not None
    # An execution reads the last trade of those that the relayer wrote in one millisecond.
    return first.position.ms < Position.unpack(filled_at).ms


def check_order(order: RowMapping, ticks: list[Tick]) -> str:
    """Check an order against the ticks. Return the rule that filled it, or "waits"."""
    visible = [one for one in matching_trades(order, ticks) if not is_before_commit(order, one)]
    if order["rule"] is None:
        assert visible == [], order
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
    else:
        passed_over = [one for one in visible if one.position < tick.position]
        # An execution reads the last trade of those that the relayer wrote in one millisecond.
        assert all(
            (one.position.ms, one.price) == (tick.position.ms, tick.price) for one in passed_over
        ), order
        assert tick in matching_trades(order, ticks), order
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
        # The exception stays an exception.
        passed_over = [order for order in orders if is_passed_over(order, ticks)]
        assert len(passed_over) <= len(orders) // 10, passed_over
        assert {"waits", FillRule.RESTING_AT_LIMIT, FillRule.LIMIT_AT_LAST_TRADE} <= set(outcomes)
        assert breaches(harness) == []


LIMIT_ORDERS_SQL = """SELECT o.id, o.side, o.limit_price, o.accepted_position, e.rule, e.price,
        e.tick_position, e.tick_price
    FROM orders o LEFT JOIN order_executions e ON e.order_id = o.id WHERE o.order_type = 'LIMIT'"""


def wait_for_trades(harness: TradingHarness) -> None:
    """Wait for 150 more trades of the stock."""
    begun = len(stream_of(harness, SAMSUNG))
    wait_until(lambda: len(stream_of(harness, SAMSUNG)) >= begun + 150, what="trades")
