"""Periodic tasks of resting orders: match them against trades, and expire them."""

import time
from collections.abc import Callable, Sequence

import celery_config
from trading.observability.metrics import instruments
from trading.operations.system_status import matcher
from trading.orders.expire import end_delisted
from trading.orders.expire import expire_orders as expire
from trading.orders.match import match_orders
from trading.orders.model import EndReason, OrderStatus
from trading.tasks import AffectedIds, Task
from workers.application import app
from workers.task import PeriodicTask, TaskResult, get_core, task_result

# After an outage a task works on its backlog for this long; the next run takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next periodic scan covers it. A market crash may fill a hundred thousand orders
# in one scan, which is one transaction; hence the long limit.
@app.task(
    base=PeriodicTask,
    name=str(Task.MATCH_LIMIT_ORDERS),
    autoretry_for=(),
    soft_time_limit=celery_config.MATCH_SOFT_TIME_LIMIT_S,
    time_limit=celery_config.MATCH_SOFT_TIME_LIMIT_S + 30,
)
def match_limit_orders(shard: int = 0) -> TaskResult | None:
    """Match one shard's resting orders against the trades since the last scan."""
    core = get_core()
    began = time.monotonic()
    ticks = rests = filled = 0
    found: list[AffectedIds] = []
    while True:
        report = core.run(match_orders, shard=shard, stream=core.ticks)
        instruments.record_ticks(matcher(shard), report.ticks, gap=report.gap)
        ticks, rests, filled = (
            ticks + report.ticks,
            rests + report.resting,
            filled + report.filled,
        )
        instruments.record(instruments.BASE_PRICE_JUMPS, matcher(shard), value=report.jumps)
        for reason, count in report.ended.items():
            instruments.record(instruments.ORDERS_ENDED, OrderStatus.CANCELLED, reason, value=count)
        found.append(report.affected)
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    if not (any(one.order_ids for one in found) or rests or report.gap):
        return None
    return task_result(
        *found,
        shard=shard,
        ticks=ticks,
        filled=filled,
        rests=rests,
        gap=report.gap,
        more=report.more,
    )


@app.task(base=PeriodicTask, name=str(Task.EXPIRE_ORDERS), autoretry_for=())
def expire_orders() -> TaskResult | None:
    """Expire DAY orders after their trading day, and cancel resting orders of delisted stocks."""
    core = get_core()
    expired = _in_batches(lambda: core.run(expire))
    delisted = _in_batches(lambda: core.run(end_delisted))
    for status, reason, ended in (
        (OrderStatus.EXPIRED, EndReason.DAY_ENDED, expired),
        (OrderStatus.CANCELLED, EndReason.STOCK_NOT_TRADABLE, delisted),
    ):
        instruments.record(instruments.ORDERS_ENDED, status, reason, value=_orders(ended))
    if not (expired or delisted):
        return None
    return task_result(*expired, *delisted, expired=_orders(expired), delisted=_orders(delisted))


def _in_batches(batch: Callable[[], AffectedIds | None]) -> list[AffectedIds]:
    """Run a batch until it finds nothing or time is up; return what each run ended."""
    began, ended = time.monotonic(), []
    while time.monotonic() - began < _CATCH_UP_S and (some := batch()) and some.order_ids:
        ended.append(some)
    return ended


def _orders(ended: Sequence[AffectedIds]) -> int:
    return sum(len(some.order_ids) for some in ended)
