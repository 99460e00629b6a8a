"""All metric families: name with unit, help text, labels and the processes that export them.

Labels have few values, all defined by the product: statuses, task and queue names, URL rules. User
input is never a label value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from trading.config.processes import ProcessKind


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """Metric family. ``name`` is exported as is; ``buckets`` are bounds without +Inf."""

    name: str
    kind: Kind
    help: str
    exposed_by: tuple[ProcessKind, ...]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def read(self, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """Return a counter or gauge with samples read elsewhere, each with its label values."""
        make = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        metric = make(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            metric.add_metric(labels, value)
        return metric

    def value(self, value: float) -> Metric:
        """Return the family without labels and with this value."""
        return self.read([((), value)])


def _counter(
    name: str, help_text: str, *exposed_by: ProcessKind, labels: tuple[str, ...] = ()
) -> Family:
    return Family(f"stocking_{name}", Kind.COUNTER, help_text, exposed_by, labels)


def _gauge(
    name: str, help_text: str, *exposed_by: ProcessKind, labels: tuple[str, ...] = ()
) -> Family:
    return Family(f"stocking_{name}", Kind.GAUGE, help_text, exposed_by, labels)


_API, _WORKER, _BEAT, _RELAYER, _GATEWAY = ProcessKind

# Requests
HTTP_REQUEST_DURATION = Family(
    "stocking_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of HTTP requests until the response starts.",
    (_API,),
    ("method", "rule", "status"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HTTP_REQUESTS_IN_FLIGHT = _gauge(
    "http_requests_in_flight", "HTTP requests in progress.", _API, labels=("method",)
)
PROBLEMS = _counter(
    "problems_total", "Problem responses by their stable code.", _API, _GATEWAY, labels=("code",)
)

# Orders and money
ORDERS_ACCEPTED = _counter(
    "orders_accepted_total", "Orders accepted.", _API, labels=("side", "order_type")
)
ORDERS_ENDED = _counter(
    "orders_ended_total",
    "Orders closed, by final status and reason.",
    _API,
    _WORKER,
    labels=("status", "reason"),
)
FILLS = _counter(
    "fills_total",
    "Executions recorded, by side and pricing rule.",
    _WORKER,
    labels=("side", "rule"),
)
EXECUTIONS_BOOKED = _counter(
    "executions_booked_total",
    "Executions processed by a later stage.",
    _WORKER,
    labels=("stage",),
)
PAYMENT_CHECKS = _counter(
    "payment_checks_total",
    "Payment checks at PortOne, by resulting action.",
    _WORKER,
    labels=("action",),
)
REFUNDS_FINISHED = _counter(
    "refunds_finished_total", "Refunds finished, by final status.", _WORKER, labels=("status",)
)

# Tasks
TASKS = _counter(
    "tasks_total",
    "Tasks finished, by outcome; the worker's main process counts killed and lost ones.",
    _WORKER,
    labels=("task", "outcome"),
)
TASK_DURATION = Family(
    "stocking_task_duration_seconds",
    Kind.HISTOGRAM,
    "Duration of tasks that were not killed or lost.",
    (_WORKER,),
    ("task", "outcome"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TASKS_RUNNING = _gauge("tasks_running", "Tasks in progress.", _WORKER, labels=("task",))
TASK_DISPATCH_FAILURES = _counter(
    "task_dispatch_failures_total",
    "Task messages that the broker did not accept; the recovery sweep dispatches their rows.",
    _API,
    _WORKER,
    labels=("task",),
)
SWEEP_OVERDUE_ROWS = _counter(
    "sweep_overdue_rows_total",
    "Overdue rows that the recovery sweep dispatched again.",
    _WORKER,
    labels=("stage",),
)
TRANSACTIONS_RETRIED = _counter(
    "transactions_retried_total",
    "Transactions retried, by reason.",
    _API,
    _WORKER,
    labels=("reason",),
)
TICKS_READ = _counter(
    "ticks_read_total", "Ticks read from the tick stream.", _WORKER, labels=("reader",)
)
TICK_GAPS = _counter(
    "tick_gaps_total",
    "Reads of the tick stream that found earlier ticks trimmed or lost.",
    _WORKER,
    labels=("reader",),
)
BASE_PRICE_JUMPS = _counter(
    "base_price_jumps_total",
    "Base prices beyond the price limits of the last recorded close.",
    _WORKER,
    labels=("reader",),
)

# Beat
BEAT_ACTIVE = _gauge("beat_active", "1 for the active beat, 0 for a standby.", _BEAT)
BEAT_MESSAGES = _counter(
    "beat_messages_total", "Periodic task messages sent.", _BEAT, labels=("task",)
)

# The relayer
RELAYER_LEASE_HELD = _gauge(
    "relayer_lease_held",
    "1 for the relayer that holds the lease, 0 for a standby.",
    _RELAYER,
)
RELAYER_CONNECTED = _gauge(
    "relayer_connected", "1 while this relayer is connected to the feed.", _RELAYER
)
RELAYER_CONNECTIONS = _counter(
    "relayer_connections_total", "Connections to the feed that this relayer opened.", _RELAYER
)
RELAYER_SUBSCRIPTIONS = _gauge(
    "relayer_subscriptions", "Feed topics by subscription state.", _RELAYER, labels=("state",)
)
TICKS_RECEIVED = _counter(
    "ticks_received_total",
    "Trade messages received from the feed, by outcome.",
    _RELAYER,
    labels=("outcome",),
)
TICKS_WRITTEN = _counter("ticks_written_total", "Ticks written to Redis.", _RELAYER)
TICKS_CONFLATED = _counter(
    "ticks_conflated_total",
    "Ticks replaced by newer ones of the same stock while Redis was unavailable.",
    _RELAYER,
)
TICKS_WAITING = _gauge("ticks_waiting", "Ticks received but not yet confirmed by Redis.", _RELAYER)
TICK_WRITE_FAILURES = _counter(
    "tick_write_failures_total", "Failed attempts to write ticks to Redis.", _RELAYER
)
TICK_WRITE_LAG = Family(
    "stocking_tick_write_lag_seconds",
    Kind.HISTOGRAM,
    "Time from receiving the first tick of a batch until Redis has stored the batch.",
    (_RELAYER,),
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
LAST_TICK_TIMESTAMP = _gauge(
    "last_tick_timestamp_seconds",
    "Time when this relayer received its latest new tick; 0 before the first one.",
    _RELAYER,
)

# The gateway
GATEWAY_CLIENTS = _gauge("gateway_clients", "Authenticated clients connected.", _GATEWAY)
GATEWAY_CONNECTIONS = _gauge(
    "gateway_connections",
    "Open connections, including those not authenticated yet.",
    _GATEWAY,
)
GATEWAY_REDIS_CONNECTED = _gauge(
    "gateway_redis_connected", "1 while the gateway is subscribed to Redis.", _GATEWAY
)
GATEWAY_MESSAGES = _counter(
    "gateway_messages_pushed_total", "Messages written to client sockets.", _GATEWAY
)
GATEWAY_SLOW_CLIENTS_DISCONNECTED = _counter(
    "gateway_slow_clients_disconnected_total",
    "Clients disconnected because they read too slowly.",
    _GATEWAY,
)

# State of the whole system, read by the API at each scrape
SOURCE_UP = _gauge(
    "metrics_source_up",
    "1 if this source answered in time; if 0, the families read from it are missing.",
    _API,
    labels=("source",),
)
STAGE_DUE = _gauge(
    "stage_due_rows", "Rows due in a stage, counted up to 10,000.", _API, labels=("stage",)
)
STAGE_OLDEST_AGE = _gauge(
    "stage_oldest_age_seconds",
    "Time for which the oldest due row of a stage has been due; 0 if there is none.",
    _API,
    labels=("stage",),
)
READER_LAG = _gauge(
    "tick_reader_lag_seconds",
    "Lag of a tick stream reader behind the newest tick, measured in tick time.",
    _API,
    labels=("reader",),
)
READER_CAUGHT_UP_AGE = _gauge(
    "tick_reader_caught_up_age_seconds",
    "Time since a tick stream reader last reached the end of the stream.",
    _API,
    labels=("reader",),
)
QUEUE_MESSAGES = _gauge("queue_messages", "Messages waiting in a queue.", _API, labels=("queue",))
QUEUE_UNACKNOWLEDGED = _gauge(
    "queue_unacknowledged_messages",
    "Messages delivered to workers and not yet acknowledged, over all queues.",
    _API,
)
FEED_STATUS = _gauge(
    "feed_status",
    "1 for the current status of the feed, 0 for the others.",
    _API,
    labels=("status",),
)
FEED_LAST_TICK_AGE = _gauge(
    "feed_last_tick_age_seconds",
    "Time since the connected relayer received a new tick.",
    _API,
)
MARKET_TRADING = _gauge(
    "market_trading",
    "1 while ticks are expected: in a trading session, outside its call auctions.",
    _API,
)
TRADING_HALTED = _gauge("trading_halted", "1 while trading is halted by an administrator.", _API)
PAYMENT_ALERTS_OPEN = _gauge(
    "payment_alerts_open",
    "Unresolved payment alerts, counted up to 10,000.",
    _API,
    labels=("kind",),
)
AUDIT_BREACHES_OPEN = _gauge(
    "audit_breaches_open",
    "Unresolved audit breaches, counted up to 10,000.",
    _API,
)
ACCOUNTS_HALTED = _gauge(
    "accounts_halted", "Accounts with trading halted, counted up to 10,000.", _API
)
AUDIT_ACCOUNTS_DUE = _gauge(
    "audit_accounts_due",
    "Accounts that the current nightly audit has not reached, counted up to 10,000.",
    _API,
)
AUDIT_LAST_RUN_AGE = _gauge(
    "audit_last_run_age_seconds",
    "Time since the latest audit run; infinite before the first one.",
    _API,
)
EVENTS_REPAIR_AGE = _gauge(
    "account_events_repair_age_seconds",
    "Time since all account events were last compared with their streams.",
    _API,
)

FAMILIES: tuple[Family, ...] = tuple(
    family for family in tuple(globals().values()) if isinstance(family, Family)
)
