"""Waking workers from a web request, which does not wait for it: in each process one thread sends what all of its requests leave behind.

While one message is on its way the next requests' wake-ups gather, and leave as one: the busier the process, the fewer messages an order takes.
A broker that is slow or away then costs that thread its time, and no request any.
"""

import atexit
import threading
from collections.abc import Iterator, Sequence
from uuid import UUID

from celery import Celery
from structlog.contextvars import bound_contextvars, get_contextvars

import celery_config
from trading.core import Deliver
from trading.queue import Task, Wakeup, courier, wakeups
from trading.settings import Settings

FAREWELL_S = 1.0
_REQUESTS_NAMED_MAX = 20


def producer_courier(settings: Settings) -> Deliver:
    """A courier on a Celery application that only sends. Made in each process; its thread and its connection begin with the first wake-up."""
    producer = Celery("stocking", set_as_current=False)
    producer.conf.update(celery_config.producer(settings))

    def send(task: str, ids: list[str]) -> None:
        producer.send_task(
            task,
            args=(ids,),
            queue=celery_config.queue_of(task),
            retry=False,
            ignore_result=True,
            headers={"request_id": get_contextvars().get("request_id")},
        )

    return Sender(courier(send), batch_size=settings.stage_batch_size).leave


class Sender:
    """Takes wake-ups from any thread at once and has its own thread ``tell`` them, together where they ask for the same task.

    A process that ends gives it FAREWELL_S for what is left. What is not told by then is lost, as in a process that is killed, until the sweep
    finds it.
    """

    def __init__(self, tell: Deliver, *, batch_size: int) -> None:
        self._tell = tell
        self._batch_size = batch_size
        self._due: list[tuple[Wakeup, str | None]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False

    def leave(self, wakeups_due: Sequence[Wakeup]) -> None:
        request_id = get_contextvars().get("request_id")
        with self._changed:
            self._due += [(wakeup, request_id) for wakeup in wakeups_due]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
                atexit.register(self._end)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due:
                    if self._ending:
                        return
                    self._changed.wait()
                due, self._due = self._due, []
            request_ids = list(dict.fromkeys(request_id for _wakeup, request_id in due if request_id))
            with bound_contextvars(request_id=",".join(request_ids[:_REQUESTS_NAMED_MAX]) or None):
                self._tell(list(self._together([wakeup for wakeup, _request_id in due])))

    def _together(self, due: Sequence[Wakeup]) -> Iterator[Wakeup]:
        ids: dict[Task, list[UUID]] = {}
        for wakeup in due:
            ids.setdefault(wakeup.task, []).extend(wakeup.ids)
        for task, all_ids in ids.items():
            yield from wakeups(task, all_ids, batch_size=self._batch_size)

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(FAREWELL_S)
