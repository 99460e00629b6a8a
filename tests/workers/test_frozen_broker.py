"""A broker that falls silent while a worker is at a task."""

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


def test_a_worker_that_could_not_say_that_it_is_done_goes_on(
    live_api: Api, live_settings: Settings, valkey_server: Valkey, tmp_path: Path
) -> None:
    """Its acknowledgement is not answered in time, while the connection by which it receives messages stands. It takes the next one all the same."""
    harness = live_api.harness
    harness.tick(70_000)
    with worker(tmp_path / "worker.log", live_settings, children=1) as process:
        wait_until(lambda: process.output.count("task_done") >= 2, what="the first looks")
        with locked(harness):
            before = running_statements(harness)
            harness.core.deliver([TaskRequest(Task.UPDATE_PORTFOLIOS, (uuid4(),))])
            wait_until(lambda: running_statements(harness) > before, what="a task that waits")
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
    """Nobody else gets at the executions before the block ends."""
    with harness.core.database.engine.connect() as connection:
        connection.execute(text("LOCK TABLES order_executions WRITE"))
        try:
            yield
        finally:
            connection.execute(text("UNLOCK TABLES"))
