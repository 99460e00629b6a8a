"""Metrics of real workers and beat: outcomes of tasks, and counters that survive children."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from celery import Celery
from sqlalchemy import select

import celery_config
from tests.support.servers import wait_until
from tests.webapp.client import Api, data_of
from tests.workers.processes import CeleryProcess, beat, worker
from tests.workers.scraped_metrics import ScrapedMetrics
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.observability.metrics import instruments
from trading.orders.tables import ORDERS
from trading.tasks import Task

EXECUTE = str(Task.EXECUTE_ORDERS)


@contextmanager
def locked_order(api: Api, order_id: str) -> Iterator[Callable[[], None]]:
    """Lock an order so that its execution waits; yield the function that unlocks it."""
    with api.harness.core.database.engine.connect() as connection:
        connection.execute(
            select(ORDERS.c.id).where(ORDERS.c.id == UUID(order_id)).with_for_update()
        )
        yield connection.rollback


def folder_of(process: CeleryProcess) -> Path:
    """Return the folder where the worker and its children count."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    (folder,) = {Path(path).parent for path in re.findall(r"\S+/stocking-metrics-\S+\.db", maps)}
    return folder


def place_orders(api: Api, count: int = 1) -> str:
    """Place executable orders of a new user; return the last one's id."""
    person = api.person()
    api.harness.tick(70_000)
    ids = [data_of(api.order(person, "BUY", 1), 201)["id"] for _ in range(count)]
    return str(ids[-1])


def test_an_order_is_counted_through_its_stages(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """Filled, settled, applied and ended. A message that finds nothing counts as nothing."""
    metrics = ScrapedMetrics()
    with worker(tmp_path / "worker.log", live_settings, **metrics.environment):
        wait_until(
            lambda: ("tasks_total", ("failed", EXECUTE)) in metrics.samples(),
            what="the zero series of failures",
        )
        order_id = place_orders(live_api)
        wait_until(
            lambda: metrics.of("executions_booked_total", "portfolio"),
            what="the last stage",
        )
        send_again(live_settings, order_id)
        wait_until(lambda: metrics.tasks("nothing"), what="the second message")

        assert metrics.tasks("done") == metrics.tasks("done", str(Task.SETTLE_EXECUTIONS)) == 1
        assert metrics.of("executions_booked_total", "settle") == 1
        assert metrics.of("orders_ended_total", "filled", "FILLED") == 1
        assert (
            sum(value for (name, _), value in metrics.samples().items() if name == "fills_total")
            == 1
        )
        assert metrics.of("task_duration_seconds_count", "done", EXECUTE) == 1
        assert metrics.of("tasks_running", EXECUTE) == 0
        assert metrics.tasks("failed") == metrics.tasks("killed") == metrics.tasks("lost") == 0


def send_again(settings: Settings, order_id: str, **limits: float) -> None:
    """Send another execution message with its own time limits in seconds."""
    producer = Celery("stocking", set_as_current=False)
    producer.conf.update(celery_config.producer(settings))
    with producer:
        producer.send_task(
            EXECUTE,
            args=([order_id],),
            queue=celery_config.queue_of(EXECUTE),
            ignore_result=True,
            **limits,
        )


def test_every_outcome_of_a_task_is_counted(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """An order is locked, so that its execution waits.

    One task is lost with its child, one reaches the soft limit, and one, whose child is frozen, is
    killed. The first is finished by another child. At the end no task counts as running.
    """
    metrics, order_id, log = ScrapedMetrics(), place_orders(live_api), tmp_path / "worker.log"
    with (
        locked_order(live_api, order_id) as let_go,
        worker(log, live_settings, queues="orders.execute", **metrics.environment) as process,
    ):
        wait_until(
            lambda: metrics.of("tasks_running", EXECUTE) == 1,
            what="the waiting task",
        )
        signal_all(process, signal.SIGKILL)
        wait_until(lambda: metrics.tasks("lost") == 1, what="the loss")
        wait_until(lambda: metrics.of("tasks_running", EXECUTE) == 1, what="the same task again")
        send_again(live_settings, order_id, soft_time_limit=1)
        wait_until(lambda: metrics.tasks("timed-out") == 1, what="the soft limit")
        # Celery starts the hard limit's timer after the soft limit; its default is 30 s.
        send_again(live_settings, order_id, soft_time_limit=14, time_limit=15)
        wait_until(
            lambda: metrics.of("tasks_running", EXECUTE) == 2,
            what="two waiting tasks",
        )
        frozen = process.children
        signal_all(process, signal.SIGSTOP)
        wait_until(lambda: metrics.tasks("killed") == 1, what="the hard limit")
        wait_until(lambda: set(frozen) != set(process.children), what="the end of the child")
        signal_all(process, signal.SIGCONT)
        let_go()

        wait_until(lambda: metrics.tasks("done") == 1, what="the first task")
        wait_until(
            lambda: metrics.of("tasks_running", EXECUTE) == 0,
            what="no running task",
        )
        assert {outcome: metrics.tasks(outcome) for outcome in instruments.OUTCOMES} == {
            "done": 1, "nothing": 0, "retried": 0, "failed": 0,
            "timed-out": 1, "killed": 1, "lost": 1,
        }  # fmt: skip


def signal_all(process: CeleryProcess, number: signal.Signals) -> None:
    for child in process.children:
        os.kill(child, number)


def test_counts_survive_recycled_children(live_settings: Settings, tmp_path: Path) -> None:
    """Children end after three tasks. Their counts stay, and their successors need no more files.

    The folder is removed when the worker ends.
    """
    metrics = ScrapedMetrics()
    options = ("--max-tasks-per-child", "3")
    with worker(
        tmp_path / "worker.log",
        live_settings,
        *options,
        queues="orders.execute",
        **metrics.environment,
    ) as process:
        first = set(process.children)
        for _ in range(20):
            send_again(live_settings, str(new_id()))
        seen: list[float] = []

        def all_done() -> bool:
            seen.append(metrics.tasks("nothing"))
            return seen[-1] == 20

        wait_until(all_done, what="twenty tasks")
        assert seen == sorted(seen)
        assert not first & set(process.children)
        folder = folder_of(process)
        assert {file.stem.rpartition("_")[2] for file in folder.iterdir()} == {"0", "1", "main"}
    assert not folder.exists()


def test_beat_counts_the_messages_it_sends(live_settings: Settings, tmp_path: Path) -> None:
    """Tasks that it never sends are not listed."""
    metrics = ScrapedMetrics()
    with beat(tmp_path / "beat.log", live_settings, **metrics.environment):
        sweep = str(Task.SWEEP_DUE_WORK)
        wait_until(
            lambda: metrics.of("beat_messages_total", sweep) > 0,
            what="a sweep's message",
        )

        samples = metrics.samples()
    assert samples["beat_active", ()] == 1
    assert {labels[0] for name, labels in samples if name == "beat_messages_total"} == {
        str(entry["task"])
        for entry in celery_config.worker(live_settings)["beat_schedule"].values()
    }
    assert ("process_resident_memory_bytes", ()) in samples
