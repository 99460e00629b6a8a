"""The stages of an order after its acceptance, each a task on a queue of its own."""

from trading.database.transactions import nothing_to_find
from trading.metrics import counting
from trading.queue import Task
from trading.services.execute_orders import execute_orders as execute
from trading.services.settle_executions import settle_executions as settle
from trading.services.update_portfolios import update_portfolios as update
from workers.application import app
from workers.task import CoreTask, Done, done, ids_of, the_core


@app.task(base=CoreTask, name=str(Task.EXECUTE_ORDERS))
def execute_orders(order_ids: list[str]) -> Done:
    """Record the fills that a matcher found, and give orders that may fill at once their price from a fresh tick."""
    core, ids = the_core(), ids_of(order_ids)
    hours = core.market_hours()
    report = core.database.transaction(
        lambda session: execute(
            session, ids, quotes=core.quotes, hours=hours, settings=core.settings, now=core.clock()
        ),
        landed=nothing_to_find,
    )
    for (side, rule), count in report.fills.items():
        counting.record(counting.FILLS, side, rule, value=count)
    for (status, reason), count in report.over.items():
        counting.record(counting.ORDERS_ENDED, status, reason or "filled", value=count)
    return done(
        report.worked_on,
        filled=report.filled,
        ended=report.ended,
        postponed=report.postponed,
        resting=report.resting,
    )


@app.task(base=CoreTask, name=str(Task.SETTLE_EXECUTIONS))
def settle_executions(execution_ids: list[str]) -> Done:
    """Turn fills into cash."""
    core, ids = the_core(), ids_of(execution_ids)
    settled = core.database.transaction(
        lambda session: settle(session, ids, settings=core.settings, now=core.clock()),
        landed=nothing_to_find,
    )
    counting.record(counting.EXECUTIONS_BOOKED, "settle", value=len(settled.execution_ids))
    return done(settled, settled=len(settled.execution_ids))


@app.task(base=CoreTask, name=str(Task.UPDATE_PORTFOLIOS))
def update_portfolios(execution_ids: list[str]) -> Done:
    """Apply settled fills to the holdings."""
    core, ids = the_core(), ids_of(execution_ids)
    applied = core.database.transaction(
        lambda session: update(session, ids, now=core.clock()), landed=nothing_to_find
    )
    counting.record(counting.EXECUTIONS_BOOKED, "portfolio", value=len(applied.execution_ids))
    return done(applied, applied=len(applied.execution_ids))
