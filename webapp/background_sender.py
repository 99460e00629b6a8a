"""Background senders for task messages and account events of committed requests.

Each process has one thread that dispatches tasks and one that publishes account events, so a slow
or unavailable Redis never delays a request. Messages that arrive while one is being sent are
combined: the busier the process, the fewer messages per order.
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

FLUSH_TIMEOUT_S = 1.0
_LOGGED_REQUEST_IDS_MAX = 20


def background_dispatcher(settings: Settings) -> Deliver:
    """Return a dispatcher on a Celery application that only sends.

    Each process needs its own. The thread and the connection start with the first task.
    """
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

    def deliver_combined(due: Sequence[TaskRequest]) -> None:
        deliver(list(combined_requests(due, batch_size=settings.stage_batch_size)))

    return BackgroundSender(deliver_combined, name="task-dispatch").enqueue


def background_publisher(publish: Publish) -> Publish:
    """Return a publisher of account events that runs in a background thread.

    The thread starts with the first event.
    """
    return BackgroundSender(publish, name="account-events").enqueue


def combined_requests(due: Sequence[TaskRequest], *, batch_size: int) -> Iterator[TaskRequest]:
    """Combine the requests per task, with at most `batch_size` ids in each."""
    ids: dict[Task, list[UUID]] = {}
    for request in due:
        ids.setdefault(request.task, []).extend(request.ids)
    for task, all_ids in ids.items():
        yield from task_requests(task, all_ids, batch_size=batch_size)


class BackgroundSender(Generic[T]):
    """Collects items from any thread and passes them in batches to `send` in one thread.

    At process exit the thread has FLUSH_TIMEOUT_S seconds to send what is queued. Anything unsent
    is lost, as in a killed process, until the recovery sweep finds it. `send` must not raise.
    """

    def __init__(self, send: Callable[[Sequence[T]], None], *, name: str) -> None:
        self._send = send
        self._name = name
        self._queued: list[tuple[Sequence[T], str | None]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False

    def enqueue(self, items: Sequence[T]) -> None:
        request_id = get_contextvars().get("request_id")
        with self._changed:
            self._queued.append((items, request_id))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._end)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queued:
                    if self._ending:
                        return
                    self._changed.wait()
                queued, self._queued = self._queued, []
            request_ids = list(
                dict.fromkeys(request_id for _items, request_id in queued if request_id)
            )
            with bound_contextvars(
                request_id=",".join(request_ids[:_LOGGED_REQUEST_IDS_MAX]) or None
            ):
                self._send([item for items, _request_id in queued for item in items])

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(FLUSH_TIMEOUT_S)
