"""Celery's settings: queues, routes, limits and the beat schedule.

The reasons are measured facts, see docs/decisions/0004.
"""

from typing import Any

from kombu import Exchange, Queue

from trading.config.settings import Settings
from trading.tasks import Task

# Each stage has its own queue, so that a worker can serve one stage and a backlog is visible by
# stage.
QUEUES: dict[Task, str] = {
    Task.EXECUTE_ORDERS: "orders.execute",
    Task.SETTLE_EXECUTIONS: "orders.settle",
    Task.UPDATE_PORTFOLIOS: "orders.portfolio",
    Task.MATCH_LIMIT_ORDERS: "orders.match.0",
    Task.EXPIRE_ORDERS: "maintenance",
    Task.CHECK_PRICE_ALERTS: "alerts",
    Task.SWEEP_DUE_WORK: "maintenance",
    Task.REFRESH_SUBSCRIPTIONS: "maintenance",
    Task.REPAIR_ACCOUNT_STREAMS: "maintenance",
    Task.RECORD_ACCOUNT_DAYS: "maintenance",
    Task.REFRESH_INDEX_CLOSES: "maintenance",
    Task.PURGE_RECEIPTS: "maintenance",
    Task.PURGE_SESSIONS: "maintenance",
    Task.VERIFY_PAYMENT: "payments.verify",
    Task.REFUND_PAYMENT: "payments.refund",
    Task.SWEEP_PAYMENTS: "maintenance",
    Task.BUILD_CANDLES: "candles",
    Task.PURGE_CANDLES: "maintenance",
    Task.AUDIT_ACCOUNTS: "audit",
}

SOFT_TIME_LIMIT_S = 30
HARD_TIME_LIMIT_S = 45
VISIBILITY_TIMEOUT_S = 600
# A query and one more request to PortOne, each bounded by the client's 80 s, plus the database.
PAYMENT_SOFT_TIME_LIMIT_S = 200
EXPIRES_MIN_S = 2.0
MATCH_SOFT_TIME_LIMIT_S = 240
# An account of a million orders is audited in one database snapshot, however long that takes.
AUDIT_SOFT_TIME_LIMIT_S = 240


def match_queue(shard: int) -> str:
    """Return the queue of one matcher shard; a worker that consumes only it matches only that
    shard.
    """
    return f"orders.match.{shard}"


def queue_of(task: str) -> str:
    """Return the queue of a task by its name."""
    return QUEUES[Task(task)]


def queue_names(settings: Settings) -> tuple[str, ...]:
    """Return all queues without duplicates."""
    return tuple(
        dict.fromkeys([*QUEUES.values(), *map(match_queue, range(settings.matcher_shards))])
    )


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.broker_url,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_default_queue": "maintenance",
        "enable_utc": True,
    }


def producer(settings: Settings) -> dict[str, Any]:
    """Return settings for processes that answer users.

    Sending a task waits at most half a second for an unavailable broker.
    """
    return _common(settings) | {
        "broker_transport_options": {
            "socket_timeout": 0.5,
            "socket_connect_timeout": 0.5,
            "max_retries": 0,
        },
        "broker_connection_timeout": 0.5,
        "task_publish_retry": False,
    }


def worker(settings: Settings) -> dict[str, Any]:
    """Return settings for workers and beat.

    A task whose process died runs again; every task may run twice.
    """
    return _common(settings) | {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_soft_time_limit": SOFT_TIME_LIMIT_S,
        "task_time_limit": HARD_TIME_LIMIT_S,
        # Objects, because Flower reads their names.
        "task_queues": [
            Queue(queue, Exchange(queue), routing_key=queue) for queue in queue_names(settings)
        ],
        "task_routes": {str(task): {"queue": queue} for task, queue in QUEUES.items()},
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 5_000,
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": SOFT_TIME_LIMIT_S + 5.0,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "broker_connection_retry_on_startup": True,
        # A full Redis refuses the worker's writes for receiving messages. That passes; do not exit.
        "broker_channel_error_retry": True,
        # Without these a worker never consumes again after a minute of lost packets.
        "broker_transport_options": {
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
        },
        "beat_scheduler": "workers.singleton_beat:SingletonScheduler",
        "beat_schedule": _schedule(settings),
    }


def _schedule(settings: Settings) -> dict[str, Any]:
    periods_s = {
        Task.CHECK_PRICE_ALERTS: settings.alert_period_ms / 1_000,
        Task.SWEEP_DUE_WORK: settings.sweep_period_s,
        Task.REFRESH_SUBSCRIPTIONS: settings.sweep_period_s,
        Task.REPAIR_ACCOUNT_STREAMS: settings.sweep_period_s,
        Task.SWEEP_PAYMENTS: settings.sweep_period_s,
        Task.EXPIRE_ORDERS: settings.expire_period_s,
        Task.RECORD_ACCOUNT_DAYS: settings.account_days_period_s,
        Task.REFRESH_INDEX_CLOSES: settings.index_closes_period_s,
        Task.PURGE_RECEIPTS: 600,
        Task.PURGE_SESSIONS: 600,
        Task.BUILD_CANDLES: settings.candle_period_s,
        Task.PURGE_CANDLES: 600,
        Task.AUDIT_ACCOUNTS: settings.audit_period_s,
    }
    schedule: dict[str, Any] = {
        str(task): {
            "task": str(task),
            "schedule": period_s,
            "options": {"expires": _expires_s(period_s), "queue": QUEUES[task]},
        }
        for task, period_s in periods_s.items()
    }
    period_s = settings.match_period_ms / 1_000
    for shard in range(settings.matcher_shards):
        schedule[f"{Task.MATCH_LIMIT_ORDERS}:{shard}"] = {
            "task": str(Task.MATCH_LIMIT_ORDERS),
            "args": (shard,),
            "schedule": period_s,
            "options": {
                "expires": _expires_s(period_s),
                "queue": match_queue(shard),
                "argsrepr": f"shard {shard}",
            },
        }
    return schedule


def _expires_s(period_s: float) -> float:
    """Return when a periodic task's message expires: before the next one is sent.

    Otherwise a pause would be followed by a burst of late messages. Clocks of two machines may
    differ by a second, so short periods get at least EXPIRES_MIN_S; a few late messages are
    harmless.
    """
    return max(period_s * 0.9, EXPIRES_MIN_S)
