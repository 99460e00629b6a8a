"""Workers with a wrong clock: same fills at the same time, and none at a stale price."""

from pathlib import Path
from uuid import UUID

import pytest

from tests.support.servers import clock_off_by, wait_until
from tests.support.trading_harness import SAMSUNG
from tests.trading.orders.steps import rows
from tests.webapp.client import Api, Person, data_of
from tests.workers.processes import worker
from trading.config.settings import Settings
from trading.tasks import Task, TaskRequest

OFF_S = 660


@pytest.fixture
def live_settings(live_settings: Settings) -> Settings:
    """Prices stay fresh for half the clock's error, so that none is stale on a slow machine."""
    return live_settings.model_copy(update={"tick_freshness_ms": OFF_S * 500})


@pytest.fixture
def shareholder(live_api: Api) -> Person:
    """A user with shares to sell."""
    person = live_api.person()
    live_api.harness.tick(70_000)
    order = data_of(live_api.order(person, "BUY", 10), 201)
    live_api.harness.run(TaskRequest(Task.EXECUTE_ORDERS, (UUID(order["id"]),)))
    (execution,) = rows(live_api.harness, "SELECT id FROM order_executions")
    for task in (Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS):
        live_api.harness.run(TaskRequest(task, (UUID(bytes=execution["id"]),)))
    live_api.harness.core.redis.flushall()
    return person


def test_a_late_clock_does_not_make_a_stale_price_fresh(
    live_api: Api, live_settings: Settings, shareholder: Person, tmp_path: Path
) -> None:
    """By that clock the last trade came just now; the order still waits for the next one."""
    live_api.harness.tick(70_000)
    placed = data_of(live_api.order(shareholder, "SELL", 1), 201)
    live_api.harness.tick(69_000, age_ms=(OFF_S + 2) * 1_000)
    with worker(tmp_path / "worker.log", live_settings, **clock_off_by(-OFF_S)) as process:
        wait_until(
            lambda: '"resting": 1' in process.output or filled(live_api),
            what="an attempt at the order",
        )
        assert not filled(live_api)

        live_api.harness.tick(70_000)
        live_api.harness.match()
        wait_until(lambda: filled(live_api), what="a fill once there is a fresh price")
    (fill,) = rows(
        live_api.harness,
        "SELECT price FROM order_executions WHERE order_id = :id",
        id=UUID(placed["id"]).bytes,
    )
    assert fill["price"] == 70_000
    assert live_api.harness.breaches() == []


@pytest.mark.parametrize("off_s", [-OFF_S, OFF_S], ids=["behind", "ahead"])
def test_a_wrong_clock_delays_no_fill(
    live_api: Api, live_settings: Settings, shareholder: Person, tmp_path: Path, off_s: int
) -> None:
    """A fresh price is fresh to it, and it records the correct time."""
    live_api.harness.tick(70_000)
    data_of(live_api.order(shareholder, "SELL", 1), 201)
    with worker(tmp_path / "worker.log", live_settings, **clock_off_by(off_s)) as process:
        wait_until(
            lambda: "execute_orders" in process.output and "task_done" in process.output,
            what="a task",
        )
        wait_until(lambda: filled(live_api), what="the fill")
    (late,) = rows(
        live_api.harness,
        "SELECT TIMESTAMPDIFF(SECOND, MAX(executed_at), UTC_TIMESTAMP()) AS s"
        f" FROM order_executions WHERE stock_code = '{SAMSUNG}'",
    )
    assert abs(late["s"]) < OFF_S / 2


def filled(api: Api) -> bool:
    return bool(
        rows(api.harness, "SELECT id FROM orders WHERE side = 'SELL' AND status = 'FILLED'")
    )
