"""What committed requests leave to be sent, which they do not wait for: in each process one thread wakes workers, and one publishes account events.

While one message is on its way what the next requests leave gathers, and leaves as one: the busier the process, the fewer messages an order takes.
A Redis that is slow or away then costs these threads their time, and no request any.
"""

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from celery import Celery
from structlog.contextvars import bound_contextvars, get_contextvars

import celery_config
from trading.bootstrap import Deliver, Publish
from trading.config.settings import Settings
from trading.observability.metrics import instruments
from trading.tasks import Task, TaskRequest, describe_ids, task_dispatcher, task_requests

T = TypeVar("T")

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
            argsrepr=describe_ids(task, ids),
            queue=celery_config.queue_of(task),
            retry=False,
            ignore_result=True,
            headers={"request_id": get_contextvars().get("request_id")},
        )

    def lost(task: str, count: int) -> None:
        instruments.record(instruments.TASK_DISPATCH_FAILURES, task, value=count)

    deliver = task_dispatcher(send, lost=lost)

    def deliver_together(due: Sequence[TaskRequest]) -> None:
        deliver(list(together(due, batch_size=settings.stage_batch_size)))

    return BackgroundSender(deliver_together, name="wake-ups").leave


def on_a_thread(publish: Publish) -> Publish:
    """For a process that answers people: account events are published by a thread of their own, which begins with the first one."""
    return BackgroundSender(publish, name="account-events").leave


def together(due: Sequence[TaskRequest], *, batch_size: int) -> Iterator[TaskRequest]:
    """As few wake-ups as ask for the same: one a task, of at most ``batch_size`` ids."""
    ids: dict[Task, list[UUID]] = {}
    for wakeup in due:
        ids.setdefault(wakeup.task, []).extend(wakeup.ids)
    for task, all_ids in ids.items():
        yield from task_requests(task, all_ids, batch_size=batch_size)


class BackgroundSender(Generic[T]):
    """Takes what is to be sent from any thread at once and has its own thread, called ``name``, ``send`` what has gathered.

    A process that ends gives it FAREWELL_S for what is left. What is not sent by then is lost, as in a process that is killed, until a sweep
    finds it. ``send`` must not raise.
    """

    def __init__(self, send: Callable[[Sequence[T]], None], *, name: str) -> None:
        self._send = send
        self._name = name
        self._left: list[tuple[Sequence[T], str | None]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False

    def leave(self, things: Sequence[T]) -> None:
        request_id = get_contextvars().get("request_id")
        with self._changed:
            self._left.append((things, request_id))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._end)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._left:
                    if self._ending:
                        return
                    self._changed.wait()
                left, self._left = self._left, []
            request_ids = list(
                dict.fromkeys(request_id for _things, request_id in left if request_id)
            )
            with bound_contextvars(request_id=",".join(request_ids[:_REQUESTS_NAMED_MAX]) or None):
                self._send([thing for things, _request_id in left for thing in things])

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(FAREWELL_S)
