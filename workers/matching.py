"""Periodic tasks about orders that wait: hold them against the market's trades, and end them with their day."""

import time
from collections.abc import Callable, Sequence

import celery_config
from trading.db.transactions import rerun_is_safe
from trading.observability.metrics import instruments
from trading.operations.system_status import matcher
from trading.orders.expire import end_delisted
from trading.orders.expire import expire_orders as expire
from trading.orders.match import match_orders
from trading.orders.model import EndReason, OrderStatus
from trading.tasks import AffectedIds, Task
from workers.application import app
from workers.task import CoreTask, TaskResult, done, get_core

# After an outage a task goes on with what has piled up for so long; the next one takes the rest.
_CATCH_UP_S = 10.0


# Not retried: the next look comes by itself, and a retry would only be a late one more. A crash of the market may fill a hundred thousand orders
# in one look, which is one transaction: it is given the time for that.
@app.task(
    base=CoreTask,
    name=str(Task.MATCH_LIMIT_ORDERS),
    autoretry_for=(),
    soft_time_limit=celery_config.MATCH_SOFT_TIME_LIMIT_S,
    time_limit=celery_config.MATCH_SOFT_TIME_LIMIT_S + 30,
)
def match_limit_orders(shard: int = 0) -> TaskResult | None:
    """Match the orders in the book of one shard's stocks against the trades since the last look."""
    core = get_core()
    hours = core.market_hours()
    began = time.monotonic()
    ticks = rests = 0
    found: list[AffectedIds] = []
    while True:
        report = core.database.transaction(
            lambda session: match_orders(
                session,
                shard=shard,
                stream=core.ticks,
                hours=hours,
                settings=core.settings,
                now=core.clock(),
            ),
            find_committed=rerun_is_safe,
        )
        instruments.record_ticks(matcher(shard), report.ticks, gap=report.gap)
        ticks, rests = ticks + report.ticks, rests + report.rests
        found.append(report.worked_on)
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    filled = sum(len(one.order_ids) for one in found)
    if not (filled or rests or report.gap):
        return None
    return done(
        *found,
        shard=shard,
        ticks=ticks,
        filled=filled,
        rests=rests,
        gap=report.gap,
        more=report.more,
    )


@app.task(base=CoreTask, name=str(Task.EXPIRE_ORDERS), autoretry_for=())
def expire_orders() -> TaskResult | None:
    """End the DAY orders whose trading day is over, and those in the book of a stock that is no longer listed."""
    core = get_core()
    hours = core.market_hours()
    expired = _in_batches(
        lambda: core.database.transaction(
            lambda session: expire(session, hours=hours, settings=core.settings, now=core.clock()),
            find_committed=rerun_is_safe,
        )
    )
    delisted = _in_batches(
        lambda: core.database.transaction(
            lambda session: end_delisted(session, settings=core.settings, now=core.clock()),
            find_committed=rerun_is_safe,
        )
    )
    for status, reason, ended in (
        (OrderStatus.EXPIRED, EndReason.DAY_ENDED, expired),
        (OrderStatus.CANCELLED, EndReason.STOCK_NOT_TRADABLE, delisted),
    ):
        instruments.record(instruments.ORDERS_ENDED, status, reason, value=_orders(ended))
    if not (expired or delisted):
        return None
    return done(*expired, *delisted, expired=_orders(expired), delisted=_orders(delisted))


def _in_batches(batch: Callable[[], AffectedIds | None]) -> list[AffectedIds]:
    """Run a batch until it finds nothing more, or for as long as one task may go on; what it ended each time."""
    began, ended = time.monotonic(), []
    while time.monotonic() - began < _CATCH_UP_S and (some := batch()) and some.order_ids:
        ended.append(some)
    return ended


def _orders(ended: Sequence[AffectedIds]) -> int:
    return sum(len(some.order_ids) for some in ended)
