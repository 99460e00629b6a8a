"""Many concurrent requests: no order is lost or filled twice, and no cash is spent twice."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import (
    Stack,
    Trader,
    all_orders_done,
    breaches,
    register_traders,
    running_stack,
)

USERS = 200
ORDERS_EACH = 5


@pytest.fixture(scope="module")
def _running_stack(
    server_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, TradingHarness]]:
    with running_stack(server_uri, tmp_path_factory.mktemp("stack")) as running_and_harness:
        yield running_and_harness


@pytest.fixture
def stack(_running_stack: tuple[Stack, TradingHarness]) -> Stack:
    return _running_stack[0]


@pytest.fixture
def harness(_running_stack: tuple[Stack, TradingHarness]) -> TradingHarness:
    return _running_stack[1]


def _count(harness: TradingHarness, statement: str) -> int:
    return int(harness.core.database.read(lambda session: session.scalar(text(statement))) or 0)


def test_1000_concurrent_orders_fill_exactly_once(stack: Stack, harness: TradingHarness) -> None:
    load = register_traders(stack, [f"users-{number}" for number in range(USERS)])
    theirs = "user_id IN (SELECT id FROM users WHERE email LIKE 'users-%')"

    def trade(trader: Trader) -> list[str]:
        answers = [trader.order("BUY", quantity) for quantity in range(1, ORDERS_EACH + 1)]
        assert {answer.status_code for answer in answers} == {201}
        return [answer.json()["data"]["id"] for answer in answers]

    with ThreadPoolExecutor(16) as pool:
        accepted = [order_id for placed in pool.map(trade, load) for order_id in placed]

    wait_until(lambda: all_orders_done(harness), what="every order is final and applied")
    assert len(set(accepted)) == USERS * ORDERS_EACH
    assert (
        _count(harness, f"SELECT COUNT(*) FROM orders WHERE status = 'FILLED' AND {theirs}")
        == USERS * ORDERS_EACH
    )
    assert _count(harness, f"SELECT COUNT(*) FROM orders WHERE {theirs}") == USERS * ORDERS_EACH
    assert (
        _count(harness, f"SELECT COUNT(*) FROM portfolios WHERE quantity = 15 AND {theirs}")
        == USERS
    )
    assert breaches(harness) == []


def test_100_requests_with_one_idempotency_key_make_one_order(
    stack: Stack, harness: TradingHarness
) -> None:
    trader = stack.trader("impatient")
    barrier = threading.Barrier(20)

    def press(number: int) -> int:
        if number < 20:
            barrier.wait()
        return trader.order("BUY", 1, **{"Idempotency-Key": "the-same"}).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = set(pool.map(press, range(100)))

    assert statuses <= {201, 409}
    replayed = trader.order("BUY", 1, **{"Idempotency-Key": "the-same"})
    assert replayed.headers["Idempotency-Replayed"] == "true"
    assert [order["id"] for order in trader.get("/trading/orders")["items"]] == [
        replayed.json()["data"]["id"]
    ]


def test_one_of_ten_concurrent_buys_of_the_whole_balance_is_accepted(
    stack: Stack, harness: TradingHarness
) -> None:
    trader = stack.trader("greedy")
    price = trader.get("/trading/realtime/stock/A005930")["price"]
    quantity = 10_000_000 * 90 // 100 // price
    barrier = threading.Barrier(10)

    def buy(_number: int) -> int:
        barrier.wait()
        return trader.order("BUY", quantity).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(buy, range(10)))

    assert statuses == [201] + [409] * 9
    wait_until(lambda: all_orders_done(harness), what="the one order is applied")
    assert breaches(harness) == []
