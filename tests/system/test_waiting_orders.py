"""Limit orders in the running product, each held against the tick stream itself: filled by the first trade that meets it, or by none."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import RowMapping, text

from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.system.stack import Trader, breaches, caught_up, lived_in, traders
from trading.exchange.order_types import Side
from trading.exchange.price_grid import floor_to_grid, tick_size
from trading.marketdata.stream import TickStream
from trading.marketdata.ticks import Tick
from trading.orders.fills import FillRule, is_met

USERS = 30
ROUNDS = 4
STEPS = (-4, -2, -1, 0, 1, 3)


def place_around(trader: Trader, chance: random.Random) -> None:
    """One order some steps of the grid away from the last price, on either side if there are shares to sell."""
    last = trader.get(f"/trading/realtime/stock/{SAMSUNG}")["price"]
    price = floor_to_grid(last + chance.choice(STEPS) * tick_size(last))
    answer = trader.waiting_order(chance.choice(("BUY", "SELL")), 1, price)
    assert answer.status_code == 201, answer.text


def stream_of(harness: TradingHarness, code: str) -> list[Tick]:
    return [
        tick
        for tick in TickStream(harness.core.redis).after(None, limit=100_000).ticks
        if tick.code == code
    ]


def first_that_meets(order: RowMapping, ticks: list[Tick]) -> Tick | None:
    """The first trade behind an order's acceptance that is within its limit."""
    side = Side(order["side"])
    return next(
        (
            tick
            for tick in ticks
            if tick.position.packed > order["accepted_position"]
            and is_met(side, order["limit_price"], tick.price)
        ),
        None,
    )


def check(order: RowMapping, ticks: list[Tick]) -> str:
    """Hold an order against the stream; what became of it."""
    meets = first_that_meets(order, ticks)
    if order["rule"] is None:
        assert meets is None, order
        return "waits"
    tick = next(tick for tick in ticks if tick.position.packed == order["tick_position"])
    assert tick.price == order["tick_price"]
    if order["rule"] == FillRule.LIMIT_AT_LAST_TRADE:
        # Marketable when it arrived: the last trade at its execution, which may be the one that was the last at its acceptance, but none before.
        passed_over = [one for one in ticks if tick.position < one.position]
        assert all(one.position.packed > order["accepted_position"] for one in passed_over)
        assert order["price"] == tick.price
        assert is_met(Side(order["side"]), order["limit_price"], tick.price)
    elif order["rule"] == FillRule.ARRIVING_AT_PRINT and tick != meets:
        # An execution reads the last trade of those that the relayer wrote in one millisecond.
        assert meets is not None, order
        assert (tick.position.ms, tick.price) == (meets.position.ms, meets.price), order
        assert order["price"] == tick.price
    else:
        assert tick == meets, order
        assert order["price"] == (
            order["limit_price"] if order["rule"] == FillRule.RESTING_AT_LIMIT else tick.price
        )
    return str(order["rule"])


def test_every_waiting_order_is_filled_by_the_first_trade_that_meets_it(
    server_uri: str, tmp_path: Path
) -> None:
    """Thirty users place orders around the price while workers are killed with -9; then the market stands still and every order is
    looked up in the stream: filled by exactly the trade that it should be, at the price that the rule gives, or waiting rightly."""
    with lived_in(server_uri, tmp_path) as (house, harness):
        crowd = traders(house, [f"waiting-{number}" for number in range(USERS)])
        for trader in crowd:
            trader.order("BUY", ROUNDS)
        wait_until(lambda: caught_up(harness), what="shares to sell")
        chance = random.Random(7)
        for round_number in range(ROUNDS):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda trader: place_around(trader, chance), crowd))
            worker = f"worker-{round_number % 2 + 1}"
            house.kill(worker)
            house.start(worker)
        # So far from the market that a play market that opens at its base price does not come by.
        base = stream_of(harness, SAMSUNG)[-1].base or 0
        assert crowd[0].waiting_order("BUY", 1, floor_to_grid(base * 75 // 100)).status_code == 201
        let_the_market_move(harness)
        house.kill("relayer")
        wait_until(lambda: caught_up(harness), what="the matcher has read all")

        orders = harness.core.database.read(
            lambda session: session.execute(text(EVERY_ORDER)).mappings().all()
        )
        ticks = stream_of(harness, SAMSUNG)
        outcomes = [check(order, ticks) for order in orders]
        assert len(orders) == USERS * ROUNDS + 1
        assert {"waits", FillRule.RESTING_AT_LIMIT, FillRule.LIMIT_AT_LAST_TRADE} <= set(outcomes)
        assert breaches(harness) == []


EVERY_ORDER = """SELECT o.id, o.side, o.limit_price, o.accepted_position, e.rule, e.price, e.tick_position, e.tick_price
    FROM orders o LEFT JOIN order_executions e ON e.order_id = o.id WHERE o.order_type = 'LIMIT'"""


def let_the_market_move(harness: TradingHarness) -> None:
    """Until a hundred and fifty more trades of the stock were printed."""
    begun = len(stream_of(harness, SAMSUNG))
    wait_until(lambda: len(stream_of(harness, SAMSUNG)) >= begun + 150, what="trades")
