"""Prometheus metrics of workers and beat, if METRICS_PORT is set.

The children of a worker's pool count; its main process exposes the counts.
"""

from typing import Any

from billiard.process import current_process
from celery.beat import Service
from celery.signals import beat_init, celeryd_init, worker_process_init, worker_ready
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading.observability.metrics import exposition, families, instruments, multiprocess
from trading.tasks import Task
from workers.application import SETTINGS, app
from workers.singleton_beat import SingletonScheduler

_MAIN = "main"


@celeryd_init.connect
def _enable_shared_counters(**_signal: Any) -> None:
    """Enable shared counters before anything is counted."""
    if SETTINGS.metrics_port is not None:
        multiprocess.create_folder()
        multiprocess.enable(_slot)
        instruments.initialise_series(tasks=map(str, Task))


@worker_process_init.connect
def _clear_in_progress(**_signal: Any) -> None:
    """Clear the in-progress gauge: the slot's previous child may have been killed during a task."""
    multiprocess.clear_in_progress(_slot())


@worker_ready.connect
def _serve_metrics(**_signal: Any) -> None:
    exposition.serve(SETTINGS, exposition.build_registry(exposition.process_collector()))


@beat_init.connect
def _serve_beat_metrics(sender: Service, **_signal: Any) -> None:
    instruments.initialise_series(sent={entry["task"] for entry in app.conf.beat_schedule.values()})
    exposition.serve(
        SETTINGS,
        exposition.build_registry(
            instruments.BEAT_MESSAGES, BeatMetrics(sender.scheduler), include_process=True
        ),
    )


def _slot() -> int | str:
    """Return the child's index in the pool, unique among living children, or "main"."""
    index: int | None = getattr(current_process(), "index", None)
    return _MAIN if index is None else index


class BeatMetrics(Collector):
    """Metrics of beat's scheduler, read at each scrape."""

    def __init__(self, scheduler: SingletonScheduler) -> None:
        self._scheduler = scheduler

    def collect(self) -> list[Metric]:
        return [families.BEAT_ACTIVE.value(self._scheduler.sends)]
