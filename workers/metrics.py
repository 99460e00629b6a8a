"""What a worker and beat tell Prometheus, where METRICS_PORT is set: the children of a worker's pool count, and its main process tells."""

from typing import Any

from billiard.process import current_process
from celery.beat import Service
from celery.signals import beat_init, celeryd_init, worker_process_init, worker_ready
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trading.metrics import counting, families, sharing, telling
from trading.queue import Task
from workers.application import SETTINGS, app
from workers.scheduler import SoleScheduler

_MAIN = "main"


@celeryd_init.connect
def _share(**_signal: Any) -> None:
    """Before anything is counted."""
    if SETTINGS.metrics_port is not None:
        sharing.make_folder()
        sharing.share(_slot)
        counting.begin_with_zero(tasks=map(str, Task))


@worker_process_init.connect
def _begin(**_signal: Any) -> None:
    """A child may have the place of one that was killed amid a task."""
    sharing.forget_what_ran(_slot())


@worker_ready.connect
def _tell(**_signal: Any) -> None:
    telling.serve(SETTINGS, telling.told(telling.counted()))


@beat_init.connect
def _tell_of_beat(sender: Service, **_signal: Any) -> None:
    counting.begin_with_zero(sent={entry["task"] for entry in app.conf.beat_schedule.values()})
    telling.serve(
        SETTINGS,
        telling.told(counting.BEAT_MESSAGES, BeatMetrics(sender.scheduler), of_one_process=True),
    )


def _slot() -> int | str:
    """A child's place in the pool, which no other has while it lives; the main process has none."""
    index: int | None = getattr(current_process(), "index", None)
    return _MAIN if index is None else index


class BeatMetrics(Collector):
    """What beat's scheduler says of itself when it is asked."""

    def __init__(self, scheduler: SoleScheduler) -> None:
        self._scheduler = scheduler

    def collect(self) -> list[Metric]:
        return [families.BEAT_SENDS.value(self._scheduler.sends)]
