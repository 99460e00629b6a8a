"""Names of tasks and requests to run them. A request carries ids only and may get lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self
from uuid import UUID

import structlog

from trading.observability.logs.ids import IDS_PER_LINE

log = structlog.get_logger(__name__)


class Task(StrEnum):
    """Task names in the broker and Flower."""

    EXECUTE_ORDERS = "execute_orders"
    SETTLE_EXECUTIONS = "settle_executions"
    UPDATE_PORTFOLIOS = "update_portfolios"
    MATCH_LIMIT_ORDERS = "match_limit_orders"
    EXPIRE_ORDERS = "expire_orders"
    SWEEP_DUE_WORK = "sweep_due_work"
    CHECK_PRICE_ALERTS = "check_price_alerts"
    REFRESH_SUBSCRIPTIONS = "refresh_subscriptions"
    REPAIR_ACCOUNT_STREAMS = "repair_account_streams"
    RECORD_ACCOUNT_DAYS = "record_account_days"
    REFRESH_INDEX_CLOSES = "refresh_index_closes"
    PURGE_RECEIPTS = "purge_idempotency_receipts"
    PURGE_SESSIONS = "purge_sign_in_sessions"
    BUILD_CANDLES = "build_candles"
    PURGE_CANDLES = "purge_candles"
    VERIFY_PAYMENT = "verify_payment"
    REFUND_PAYMENT = "refund_payment"
    SWEEP_PAYMENTS = "sweep_payments"
    AUDIT_ACCOUNTS = "audit_accounts"


# Tasks that wait for PortOne process one row each: several could exceed a task's time limit.
SINGLE_ID_TASKS = frozenset({Task.VERIFY_PAYMENT, Task.REFUND_PAYMENT})
# The kind of row that a task's ids identify.
_ROWS = {
    Task.EXECUTE_ORDERS: "order",
    Task.SETTLE_EXECUTIONS: "execution",
    Task.UPDATE_PORTFOLIOS: "execution",
    Task.VERIFY_PAYMENT: "payment",
    Task.REFUND_PAYMENT: "refund",
}

# Number of ids that Flower shows; a batch has up to five hundred.
_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """Request to run a task for these rows. It may be lost, late or doubled: tasks check row
    states.
    """

    task: Task
    ids: tuple[UUID, ...]


def log_fields(task: str, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return a request's ids under their name in log lines; empty for a task without ids."""
    row = _ROWS.get(Task(task))
    if row is None:
        return {}
    # Payments are logged as in PortOne's console.
    return {
        f"{row}_ids": [str(one).replace("-", "") if row == "payment" else str(one) for one in ids]
    }


def describe_ids(task: str, ids: Sequence[str]) -> str:
    """Return a request's ids for Flower: their number and kind, and the first ones."""
    ((name, named),) = log_fields(task, ids).items()
    first = ", ".join(named[:_SHOWN_MAX]) + (", …" if len(named) > _SHOWN_MAX else "")
    row = name.removesuffix("_ids")
    return f"{len(named)} {row if len(named) == 1 else row + 's'}: {first}"


def task_requests(task: Task, ids: Sequence[UUID], *, batch_size: int) -> Iterator[TaskRequest]:
    """Yield requests for all `ids`, at most `batch_size` ids each, or one for tasks that wait for
    PortOne.
    """
    batch_size = 1 if task in SINGLE_ID_TASKS else batch_size
    for start in range(0, len(ids), batch_size):
        yield TaskRequest(task, tuple(ids[start : start + batch_size]))


def task_dispatcher(
    send: Callable[[str, list[str]], object],
    *,
    lost: Callable[[str, int], None] = lambda _task, _count: None,
) -> Callable[[Sequence[TaskRequest]], None]:
    """Return a `deliver` function that passes each request to `send(task name, ids)` and never
    raises.

    A broker outage must not fail a request whose order is committed. The first failure stops the
    round, because every further attempt would wait for the same broker; the recovery sweep
    dispatches the rest. `lost` receives the number of lost requests per task and must not raise.
    """

    def deliver(requests: Sequence[TaskRequest]) -> None:
        for sent, request in enumerate(requests):
            ids = [str(one) for one in request.ids]
            try:
                send(request.task, ids)
            except Exception as fault:  # noqa: BLE001 - whatever is wrong with the broker, the rows are due and will be found
                log.warning(
                    "task_dispatch_failed",
                    count=len(requests) - sent,
                    wakes=request.task,
                    reason=type(fault).__name__,
                    **log_fields(request.task, ids[:IDS_PER_LINE]),
                )
                for task, count in Counter(one.task for one in requests[sent:]).items():
                    lost(task, count)
                return

    return deliver


class OrderIds(Protocol):
    """The ids of an order, of its user and of the request that placed it."""

    @property
    def id(self) -> UUID: ...

    @property
    def user_id(self) -> UUID: ...

    @property
    def request_id(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedIds:
    """Ids processed by a task, each once, in processing order. `request_ids` placed the orders, if
    known.
    """

    order_ids: tuple[UUID, ...] = ()
    execution_ids: tuple[UUID, ...] = ()
    user_ids: tuple[UUID, ...] = ()
    request_ids: tuple[str, ...] = ()

    @classmethod
    def of_orders(cls, orders: Iterable[OrderIds], *, execution_ids: Iterable[UUID] = ()) -> Self:
        """Return the ids of these orders and of `execution_ids`."""
        rows = list(orders)
        return cls(
            order_ids=tuple(row.id for row in rows),
            execution_ids=tuple(execution_ids),
            user_ids=tuple(dict.fromkeys(row.user_id for row in rows)),
            request_ids=tuple(dict.fromkeys(row.request_id for row in rows if row.request_id)),
        )
