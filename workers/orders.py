"""Stages of an order after acceptance; each is a task on its own queue."""

from trading.observability.metrics import instruments
from trading.orders.apply_to_holdings import update_portfolios as update
from trading.orders.execute import execute_orders as execute
from trading.orders.settle import settle_executions as settle
from trading.tasks import Task
from workers.application import app
from workers.task import CoreTask, TaskResult, get_core, ids_of, task_result


@app.task(base=CoreTask, name=str(Task.EXECUTE_ORDERS))
def execute_orders(order_ids: list[str]) -> TaskResult:
    """Record fills found by a matcher, and execute marketable orders at a fresh tick's price."""
    core, ids = get_core(), ids_of(order_ids)
    report = core.run(execute, ids)
    for (side, rule), count in report.fills.items():
        instruments.record(instruments.FILLS, side, rule, value=count)
    for (status, reason), count in report.finished.items():
        instruments.record(instruments.ORDERS_ENDED, status, reason or "filled", value=count)
    return task_result(
        report.affected,
        filled=report.filled,
        ended=report.ended,
        postponed=report.postponed,
        resting=report.resting,
    )


@app.task(base=CoreTask, name=str(Task.SETTLE_EXECUTIONS))
def settle_executions(execution_ids: list[str]) -> TaskResult:
    """Book the cash of executions."""
    core, ids = get_core(), ids_of(execution_ids)
    settled = core.run(settle, ids)
    instruments.record(instruments.EXECUTIONS_BOOKED, "settle", value=len(settled.execution_ids))
    return task_result(settled, settled=len(settled.execution_ids))


@app.task(base=CoreTask, name=str(Task.UPDATE_PORTFOLIOS))
def update_portfolios(execution_ids: list[str]) -> TaskResult:
    """Apply settled executions to holdings."""
    core, ids = get_core(), ids_of(execution_ids)
    applied = core.run(update, ids)
    instruments.record(instruments.EXECUTIONS_BOOKED, "portfolio", value=len(applied.execution_ids))
    return task_result(applied, applied=len(applied.execution_ids))
