"""A broker that freezes while a worker runs a task."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import rows, running_statements
from tests.webapp.client import Api, data_of
from tests.workers.processes import worker
from trading.config.settings import Settings
from trading.tasks import Task, TaskRequest

APPLIED = "SELECT id FROM order_executions WHERE applied_at IS NOT NULL"


def test_a_worker_continues_after_a_failed_acknowledgement(
    live_api: Api, live_settings: Settings, valkey_server: Valkey, tmp_path: Path
) -> None:
    """The acknowledgement times out while the receiving connection stays open."""
    harness = live_api.harness
    harness.tick(70_000)
    with worker(tmp_path / "worker.log", live_settings, children=1) as process:
        wait_until(lambda: process.output.count("task_done") >= 2, what="the first tasks")
        with locked(harness):
            before = running_statements(harness)
            harness.core.deliver([TaskRequest(Task.UPDATE_PORTFOLIOS, (uuid4(),))])
            wait_until(lambda: running_statements(harness) > before, what="a waiting task")
            valkey_server.pause()
        try:
            wait_until(lambda: "Couldn't ack" in process.output, what="no answer in time")
        finally:
            valkey_server.resume()

        data_of(live_api.order(live_api.person(), "BUY", 1), 201)
        wait_until(lambda: rows(harness, APPLIED), what="a fill")
    assert harness.breaches() == []


@contextmanager
def locked(harness: TradingHarness) -> Iterator[None]:
    """Lock the executions until the block ends."""
    with harness.core.database.engine.connect() as connection:
        connection.execute(text("LOCK TABLES order_executions WRITE"))
        try:
            yield
        finally:
            connection.execute(text("UNLOCK TABLES"))
