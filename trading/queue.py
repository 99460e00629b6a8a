"""The queue as seen from inside: names of tasks, and wake-ups for them. A wake-up carries ids only and may get lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)


class Task(StrEnum):
    """Names of tasks as the broker and Flower show them."""

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


# What waits for somebody outside takes one row at a time: together they would outlast a task's time limit.
ONE_BY_ONE = frozenset({Task.VERIFY_PAYMENT, Task.REFUND_PAYMENT})


@dataclass(frozen=True, slots=True)
class Wakeup:
    """Asks for a task to look at these rows. Lost, late or doubled it does no harm: the task goes by the rows' state."""

    task: Task
    ids: tuple[UUID, ...]


def wakeups(task: Task, ids: Sequence[UUID], *, batch_size: int) -> Iterator[Wakeup]:
    """Wake-ups for all ``ids``, at most ``batch_size`` in each, and one in each for what waits for somebody outside."""
    batch_size = 1 if task in ONE_BY_ONE else batch_size
    for start in range(0, len(ids), batch_size):
        yield Wakeup(task, tuple(ids[start : start + batch_size]))


def courier(send: Callable[[str, list[str]], object]) -> Callable[[Sequence[Wakeup]], None]:
    """A ``deliver`` for the transaction runner: gives each wake-up to ``send(task name, ids)`` and never raises.

    A broker that is away must not fail a request whose order is already safe. The first failure ends the round, as every further try would wait
    for the same broker; the sweep wakes what was not told.
    """

    def deliver(wakeups_due: Sequence[Wakeup]) -> None:
        for told, wakeup in enumerate(wakeups_due):
            try:
                send(wakeup.task, [str(one) for one in wakeup.ids])
            except Exception as fault:  # noqa: BLE001 - whatever is wrong with the broker, the rows are due and will be found
                log.warning(
                    "wakeups_lost", count=len(wakeups_due) - told, task=wakeup.task, reason=type(fault).__name__
                )
                return

    return deliver
