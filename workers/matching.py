"""Periodic tasks about orders that wait: hold them against the market's trades, and end them with their day."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import celery_config
from trading.database.transactions import nothing_to_find
from trading.queue import Task
from trading.services.expire_orders import end_delisted
from trading.services.expire_orders import expire_orders as expire
from trading.services.match_orders import match_orders
from workers.application import app
from workers.task import CoreTask, the_core

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
def match_limit_orders(shard: int = 0) -> dict[str, Any] | None:
    """Match the orders in the book of one shard's stocks against the trades since the last look."""
    core = the_core()
    hours = core.market_hours()
    began = time.monotonic()
    ticks = filled = rests = 0
    while True:
        report = core.database.transaction(
            lambda session: match_orders(
                session, shard=shard, stream=core.ticks, hours=hours, settings=core.settings, now=core.clock()
            ),
            landed=nothing_to_find,
        )
        ticks, filled, rests = ticks + report.ticks, filled + report.filled, rests + report.rests
        if not report.more or time.monotonic() - began > _CATCH_UP_S:
            break
    if not (filled or rests or report.gap):
        return None
    return {**asdict(report), "shard": shard, "ticks": ticks, "filled": filled, "rests": rests}


@app.task(base=CoreTask, name=str(Task.EXPIRE_ORDERS), autoretry_for=())
def expire_orders() -> dict[str, Any] | None:
    """End the DAY orders whose trading day is over, and those in the book of a stock that is no longer listed."""
    core = the_core()
    hours = core.market_hours()
    expired = _in_batches(
        lambda: core.database.transaction(
            lambda session: expire(session, hours=hours, settings=core.settings, now=core.clock()),
            landed=nothing_to_find,
        )
    )
    delisted = _in_batches(
        lambda: core.database.transaction(
            lambda session: end_delisted(session, settings=core.settings, now=core.clock()), landed=nothing_to_find
        )
    )
    return {"expired": expired, "delisted": delisted} if expired or delisted else None


def _in_batches(batch: Callable[[], int | None]) -> int:
    """Run a batch until it finds nothing more, or for as long as one task may go on; how many it ended in all."""
    began, total = time.monotonic(), 0
    while time.monotonic() - began < _CATCH_UP_S and (ended := batch()):
        total += ended
    return total
