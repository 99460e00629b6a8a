"""The running product while parts of it are killed, stopped and wiped: no order lost or filled twice, no won created or lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from sqlalchemy import text

from tests.books import Books
from tests.servers import wait_until
from tests.system.house import House, breaches, lived_in, nothing_due, traders

pytestmark = pytest.mark.timeout(300)

USERS = 200
ORDERS_EACH = 5


@pytest.fixture(scope="module")
def _lived_in(migrated_mariadb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Books]]:
    with lived_in(migrated_mariadb, tmp_path_factory.mktemp("house")) as house_and_books:
        yield house_and_books


@pytest.fixture
def house(_lived_in: tuple[House, Books]) -> House:
    return _lived_in[0]


@pytest.fixture
def books(_lived_in: tuple[House, Books]) -> Books:
    return _lived_in[1]


def _count(books: Books, statement: str) -> int:
    return int(books.core.database.read(lambda session: session.scalar(text(statement))) or 0)


def test_a_crowd_trades_while_a_worker_is_killed(house: House, books: Books) -> None:
    """200 users place 5 orders each at once, a worker is killed with -9 in the middle: everything is filled exactly once."""
    crowd = traders(house, [f"crowd-{number}" for number in range(USERS)])
    theirs = "user_id IN (SELECT id FROM users WHERE email LIKE 'crowd-%')"
    halfway = threading.Event()
    accepted: list[str] = []

    def trade(number: int) -> None:
        for quantity in range(1, ORDERS_EACH + 1):
            answer = crowd[number].order("BUY", quantity)
            assert answer.status_code == 201, answer.text
            accepted.append(answer.json()["data"]["id"])
            if len(accepted) > USERS * ORDERS_EACH // 2:
                halfway.set()

    with ThreadPoolExecutor(16) as pool:
        running = [pool.submit(trade, number) for number in range(USERS)]
        assert halfway.wait(120)
        house.kill("worker-1")
        for one in running:
            one.result()
    house.start("worker-1")

    wait_until(lambda: nothing_due(books), what="every order is final and applied", deadline_s=60)
    assert len(set(accepted)) == USERS * ORDERS_EACH
    assert _count(books, f"SELECT COUNT(*) FROM orders WHERE status = 'FILLED' AND {theirs}") == USERS * ORDERS_EACH
    assert _count(books, f"SELECT COUNT(*) FROM orders WHERE {theirs}") == USERS * ORDERS_EACH
    assert _count(books, f"SELECT COUNT(*) FROM portfolios WHERE quantity = 15 AND {theirs}") == USERS
    assert breaches(books) == []


def test_wiping_redis_loses_no_order(house: House, books: Books) -> None:
    """Orders placed while no worker runs, all of Redis wiped: a sweep later they are in the portfolio, none twice."""
    trader = house.trader("wiped")
    house.kill("worker-1")
    house.kill("worker-2")
    placed = [trader.order("BUY", 1).json()["data"]["id"] for _ in range(20)]

    with redis.Redis.from_url(house.valkey.url) as client:
        client.flushall()
    house.start("worker-1", "worker-2")

    for order_id in placed:
        assert len(trader.wait_until_applied(order_id, deadline_s=40)["executions"]) == 1
    assert trader.get("/portfolio/A005930")["quantity"] == 20
    assert breaches(books) == []


def test_orders_are_taken_while_redis_is_stopped(house: House, books: Books) -> None:
    """Without Redis a sale is accepted and a buy is told that there is no price; nothing hangs, and all completes afterwards."""
    trader = house.trader("stopped")
    trader.wait_until_applied(trader.order("BUY", 10).json()["data"]["id"])

    house.valkey.stop()
    sales = [trader.order("SELL", 1) for _ in range(5)]
    buy = trader.order("BUY", 1)
    balance = trader.get("/balance")
    house.valkey.start()

    assert [sale.status_code for sale in sales] == [201] * 5
    assert (buy.status_code, buy.json()["code"]) == (503, "no-live-price")
    assert balance["cash_balance"] > 0
    assert balance["total_assets"] is None
    for sale in sales:
        trader.wait_until_applied(sale.json()["data"]["id"], deadline_s=60)
    assert trader.get("/portfolio/A005930")["quantity"] == 5
    assert breaches(books) == []


def test_orders_are_taken_while_redis_is_frozen(house: House, books: Books) -> None:
    """A Redis that accepts connections and never answers costs a request less than two seconds."""
    trader = house.trader("frozen")
    trader.wait_until_applied(trader.order("BUY", 10).json()["data"]["id"])

    house.valkey.pause()
    try:
        sale, buy = trader.order("SELL", 3), trader.order("BUY", 1)
    finally:
        house.valkey.resume()

    assert sale.status_code == 201
    assert (buy.status_code, buy.json()["code"]) == (503, "no-live-price")
    trader.wait_until_applied(sale.json()["data"]["id"], deadline_s=60)
    assert breaches(books) == []


def test_one_key_makes_one_order(house: House, books: Books) -> None:
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
    assert [order["id"] for order in trader.get("/trading/orders")["items"]] == [replayed.json()["data"]["id"]]


def test_the_whole_balance_is_spent_once(house: House, books: Books) -> None:
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
    wait_until(lambda: nothing_due(books), what="the one order is applied", deadline_s=30)
    assert breaches(books) == []
