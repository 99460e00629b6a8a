"""Duplicate and shuffle queued Celery messages, and dispatch tasks again for any existing rows."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any
from uuid import UUID, uuid4

import redis
from celery import Celery

import celery_config
from tests.support.deadlines import DEADLINE_S
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import rows
from trading.tasks import SINGLE_ID_TASKS, Task

PERIOD_S = 0.05
BATCH_MAX = 20
DUPLICATED = "doubled"
QUEUES = sorted({*celery_config.QUEUES.values(), celery_config.match_queue(0)})
# Rows that a task may be dispatched for.
IDS_OF: Mapping[Task, str] = {
    Task.EXECUTE_ORDERS: "SELECT id FROM orders",
    Task.SETTLE_EXECUTIONS: "SELECT id FROM order_executions",
    Task.UPDATE_PORTFOLIOS: "SELECT id FROM order_executions",
    Task.VERIFY_PAYMENT: "SELECT id FROM payments",
    Task.REFUND_PAYMENT: "SELECT id FROM payment_refunds",
}


class MessageDuplicator:
    """Duplicates messages in the broker. `duplicated` and `redispatched` count them."""

    def __init__(self, harness: TradingHarness) -> None:
        self.duplicated = 0
        self.redispatched = 0
        self._harness = harness
        self._rng = Random(1)
        self._broker = redis.Redis.from_url(harness.settings.broker_url, decode_responses=True)
        self._producer = Celery("stocking", set_as_current=False)
        self._producer.conf.update(celery_config.producer(harness.settings))

    def duplicate_queued(self) -> None:
        """Shuffle the queued messages, and add a copy of each that was not duplicated yet."""
        for queue in QUEUES:
            with self._broker.pipeline() as pipeline:
                pipeline.lrange(queue, 0, -1)
                pipeline.delete(queue)
                messages, _ = pipeline.execute()
            envelopes = [json.loads(message) for message in messages]
            new = [envelope for envelope in envelopes if not envelope["headers"].get(DUPLICATED)]
            twice = [json.dumps(envelope) for envelope in [*envelopes, *map(_copy, new)]]
            self._rng.shuffle(twice)
            if twice:
                self._broker.rpush(queue, *twice)
            self.duplicated += len(new)

    def redispatch(self) -> None:
        """Dispatch every stage for random existing rows, whether they are due or done."""
        for task, statement in self._rng.sample(list(IDS_OF.items()), len(IDS_OF)):
            ids = [str(UUID(bytes=row["id"])) for row in rows(self._harness, statement)]
            largest = 1 if task in SINGLE_ID_TASKS else BATCH_MAX
            some = self._rng.sample(ids, min(len(ids), self._rng.randint(1, largest)))
            if some:
                queue = celery_config.queue_of(task)
                self._producer.send_task(
                    str(task), args=(some,), queue=queue, retry=False, ignore_result=True
                )
                self.redispatched += 1

    def close(self) -> None:
        self._producer.close()
        self._broker.close()


def _copy(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with its own delivery tag. Mark both, so that neither is duplicated again."""
    envelope["headers"][DUPLICATED] = True
    return envelope | {"properties": envelope["properties"] | {"delivery_tag": str(uuid4())}}


@contextmanager
def duplicating(harness: TradingHarness) -> Iterator[MessageDuplicator]:
    """Duplicate and redispatch continuously until the block ends."""
    duplicator, stopped = MessageDuplicator(harness), threading.Event()

    def work() -> None:
        while not stopped.wait(PERIOD_S):
            duplicator.duplicate_queued()
            duplicator.redispatch()

    thread = threading.Thread(target=work, name="middleman", daemon=True)
    thread.start()
    try:
        yield duplicator
    finally:
        stopped.set()
        thread.join(DEADLINE_S)
        duplicator.close()
