"""Waking workers from a web request."""

from collections.abc import Callable, Sequence

from celery import Celery
from structlog.contextvars import get_contextvars

import celery_config
from trading.queue import Wakeup, courier
from trading.settings import Settings


def producer_courier(settings: Settings) -> Callable[[Sequence[Wakeup]], None]:
    """A courier on a Celery application that only sends. Made in each process; connects at the first wake-up."""
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

    return courier(send)
