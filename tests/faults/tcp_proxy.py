"""Somebody between who sends and who works: doubles messages, mixes them up, and tells everything again that was ever told."""

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
DOUBLED = "doubled"
QUEUES = sorted({*celery_config.QUEUES.values(), celery_config.match_queue(0)})
# What a task may be told of.
IDS_OF: Mapping[Task, str] = {
    Task.EXECUTE_ORDERS: "SELECT id FROM orders",
    Task.SETTLE_EXECUTIONS: "SELECT id FROM order_executions",
    Task.UPDATE_PORTFOLIOS: "SELECT id FROM order_executions",
    Task.VERIFY_PAYMENT: "SELECT id FROM payments",
    Task.REFUND_PAYMENT: "SELECT id FROM payment_refunds",
}


class Middleman:
    """``doubled`` and ``told_again`` count his messages."""

    def __init__(self, harness: TradingHarness) -> None:
        self.doubled = 0
        self.told_again = 0
        self._harness = harness
        self._chance = Random(1)
        self._broker = redis.Redis.from_url(harness.settings.broker_url, decode_responses=True)
        self._producer = Celery("stocking", set_as_current=False)
        self._producer.conf.update(celery_config.producer(harness.settings))

    def double(self) -> None:
        """Put whatever waits in the queues back in any order, and twice what has not been doubled yet."""
        for queue in QUEUES:
            with self._broker.pipeline() as pipeline:
                pipeline.lrange(queue, 0, -1)
                pipeline.delete(queue)
                messages, _ = pipeline.execute()
            envelopes = [json.loads(message) for message in messages]
            new = [envelope for envelope in envelopes if not envelope["headers"].get(DOUBLED)]
            twice = [json.dumps(envelope) for envelope in [*envelopes, *map(_copy, new)]]
            self._chance.shuffle(twice)
            if twice:
                self._broker.rpush(queue, *twice)
            self.doubled += len(new)

    def tell_again(self) -> None:
        """Wake every stage for any ids that there ever were, due or done."""
        for task, statement in self._chance.sample(list(IDS_OF.items()), len(IDS_OF)):
            ids = [str(UUID(bytes=row["id"])) for row in rows(self._harness, statement)]
            largest = 1 if task in SINGLE_ID_TASKS else BATCH_MAX
            some = self._chance.sample(ids, min(len(ids), self._chance.randint(1, largest)))
            if some:
                queue = celery_config.queue_of(task)
                self._producer.send_task(
                    str(task), args=(some,), queue=queue, retry=False, ignore_result=True
                )
                self.told_again += 1

    def close(self) -> None:
        self._producer.close()
        self._broker.close()


def _copy(envelope: dict[str, Any]) -> dict[str, Any]:
    """The same task in a message of its own; both are known again."""
    envelope["headers"][DOUBLED] = True
    return envelope | {"properties": envelope["properties"] | {"delivery_tag": str(uuid4())}}


@contextmanager
def meddling(harness: TradingHarness) -> Iterator[Middleman]:
    """A middleman who is at it until the block ends."""
    middleman, gone = Middleman(harness), threading.Event()

    def work() -> None:
        while not gone.wait(PERIOD_S):
            middleman.double()
            middleman.tell_again()

    thread = threading.Thread(target=work, name="middleman", daemon=True)
    thread.start()
    try:
        yield middleman
    finally:
        gone.set()
        thread.join(DEADLINE_S)
        middleman.close()
