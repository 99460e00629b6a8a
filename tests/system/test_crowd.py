"""The running product under many requests at once: no order lost or filled twice, no won spent twice. tests/faults breaks it meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.system.stack import Stack, Trader, breaches, lived_in, nothing_due, traders

USERS = 200
ORDERS_EACH = 5


@pytest.fixture(scope="module")
def _lived_in(
    server_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, TradingHarness]]:
    with lived_in(server_uri, tmp_path_factory.mktemp("house")) as house_and_books:
        yield house_and_books


@pytest.fixture
def house(_lived_in: tuple[Stack, TradingHarness]) -> Stack:
    return _lived_in[0]


@pytest.fixture
def harness(_lived_in: tuple[Stack, TradingHarness]) -> TradingHarness:
    return _lived_in[1]


def _count(harness: TradingHarness, statement: str) -> int:
    return int(harness.core.database.read(lambda session: session.scalar(text(statement))) or 0)


def test_a_crowd_trades(house: Stack, harness: TradingHarness) -> None:
    """200 users place 5 orders each at once: everything is filled exactly once."""
    crowd = traders(house, [f"crowd-{number}" for number in range(USERS)])
    theirs = "user_id IN (SELECT id FROM users WHERE email LIKE 'crowd-%')"

    def trade(trader: Trader) -> list[str]:
        answers = [trader.order("BUY", quantity) for quantity in range(1, ORDERS_EACH + 1)]
        assert {answer.status_code for answer in answers} == {201}
        return [answer.json()["data"]["id"] for answer in answers]

    with ThreadPoolExecutor(16) as pool:
        accepted = [order_id for placed in pool.map(trade, crowd) for order_id in placed]

    wait_until(lambda: nothing_due(harness), what="every order is final and applied")
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


def test_one_key_makes_one_order(house: Stack, harness: TradingHarness) -> None:
    """A hundred parallel requests with the same Idempotency-Key: one order."""
    trader = house.trader("impatient")
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


def test_the_whole_balance_is_spent_once(house: Stack, harness: TradingHarness) -> None:
    """Ten parallel buys, each of the whole balance: exactly one is accepted."""
    trader = house.trader("greedy")
    price = trader.get("/trading/realtime/stock/A005930")["price"]
    quantity = 10_000_000 * 90 // 100 // price
    barrier = threading.Barrier(10)

    def buy(_number: int) -> int:
        barrier.wait()
        return trader.order("BUY", quantity).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(buy, range(10)))

    assert statuses == [201] + [409] * 9
    wait_until(lambda: nothing_due(harness), what="the one order is applied")
    assert breaches(harness) == []
