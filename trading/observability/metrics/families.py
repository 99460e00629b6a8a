"""Every metric family, here and nowhere else: its name with its unit last, what it means, its labels, and which processes tell it.

Labels have few values, all of them ours: words of the rules, names of tasks and queues, rules of addresses. What a user typed is never one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """Who is asked."""

    API = "api"
    WORKER = "worker"
    BEAT = "beat"
    RELAYER = "relayer"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. ``name`` is as Prometheus shows it; ``buckets`` are a histogram's bounds, without the infinite one."""

    name: str
    kind: Kind
    help: str
    told_by: tuple[Process, ...]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def read(self, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """The family with values that were read elsewhere, each with its labels' values. Of a counter or a gauge only."""
        make = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        metric = make(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            metric.add_metric(labels, value)
        return metric

    def value(self, value: float) -> Metric:
        """The family without labels and with this value."""
        return self.read([((), value)])


def _counter(name: str, help_text: str, *told_by: Process, labels: tuple[str, ...] = ()) -> Family:
    return Family(f"stocking_{name}", Kind.COUNTER, help_text, told_by, labels)


def _gauge(name: str, help_text: str, *told_by: Process, labels: tuple[str, ...] = ()) -> Family:
    return Family(f"stocking_{name}", Kind.GAUGE, help_text, told_by, labels)


_API, _WORKER, _BEAT, _RELAYER, _GATEWAY = Process

# Requests
HTTP_REQUEST_DURATION = Family(
    "stocking_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Requests answered, and how long each took until its answer began.",
    (_API,),
    ("method", "rule", "status"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HTTP_REQUESTS_IN_FLIGHT = _gauge(
    "http_requests_in_flight", "Requests that are being answered.", _API, labels=("method",)
)
PROBLEMS = _counter(
    "problems_total", "Problems answered, by their stable code.", _API, _GATEWAY, labels=("code",)
)

# Orders and money
ORDERS_ACCEPTED = _counter(
    "orders_accepted_total", "Orders accepted.", _API, labels=("side", "order_type")
)
ORDERS_ENDED = _counter(
    "orders_ended_total",
    "Orders that ended, by their last status and why.",
    _API,
    _WORKER,
    labels=("status", "reason"),
)
FILLS = _counter(
    "fills_total",
    "Fills recorded, by side and by the rule that gave the price.",
    _WORKER,
    labels=("side", "rule"),
)
EXECUTIONS_BOOKED = _counter(
    "executions_booked_total",
    "Executions that a later stage has booked.",
    _WORKER,
    labels=("stage",),
)
PAYMENT_LOOKS = _counter(
    "payment_looks_total",
    "Looks at payments at PortOne, by what they led to.",
    _WORKER,
    labels=("action",),
)
REFUNDS_FINISHED = _counter(
    "refunds_finished_total", "Refunds that are over, by how.", _WORKER, labels=("status",)
)

# Tasks
TASKS = _counter(
    "tasks_total",
    "Tasks that ended, by how; killed and lost ones are seen by the worker's main process.",
    _WORKER,
    labels=("task", "outcome"),
)
TASK_DURATION = Family(
    "stocking_task_duration_seconds",
    Kind.HISTOGRAM,
    "How long tasks ran that came to an end of their own.",
    (_WORKER,),
    ("task", "outcome"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TASKS_RUNNING = _gauge("tasks_running", "Tasks that run now.", _WORKER, labels=("task",))
WAKEUPS_LOST = _counter(
    "wakeups_lost_total",
    "Wake-ups that the broker did not take; the sweep finds their rows.",
    _API,
    _WORKER,
    labels=("task",),
)
SWEEP_FOUND = _counter(
    "sweep_found_total",
    "What a recovery sweep found that nobody had woken in time.",
    _WORKER,
    labels=("stage",),
)
TRANSACTIONS_RETRIED = _counter(
    "transactions_retried_total",
    "Transactions that were run again, by why.",
    _API,
    _WORKER,
    labels=("reason",),
)
TICKS_READ = _counter(
    "ticks_read_total", "Ticks read from the stream.", _WORKER, labels=("reader",)
)
TICK_GAPS = _counter(
    "tick_gaps_total",
    "Looks before which trades were lost from the stream.",
    _WORKER,
    labels=("reader",),
)

# Beat
BEAT_SENDS = _gauge("beat_sends", "1 for the beat that sends, 0 for one that stands by.", _BEAT)
BEAT_MESSAGES = _counter(
    "beat_messages_total", "Messages of periodic tasks sent.", _BEAT, labels=("task",)
)

# The relayer
RELAYER_HOLDS_LEASE = _gauge(
    "relayer_holds_lease",
    "1 for the relayer that holds the lease, 0 for one that stands by.",
    _RELAYER,
)
RELAYER_CONNECTED = _gauge(
    "relayer_connected", "1 while this relayer is connected to the market.", _RELAYER
)
RELAYER_CONNECTIONS = _counter(
    "relayer_connections_total", "Connections to the market that this relayer made.", _RELAYER
)
RELAYER_SUBSCRIPTIONS = _gauge(
    "relayer_subscriptions", "Topics, by how they stand.", _RELAYER, labels=("state",)
)
TICKS_RECEIVED = _counter(
    "ticks_received_total",
    "Trade messages received: new ones, malformed ones, and those known already.",
    _RELAYER,
    labels=("outcome",),
)
TICKS_WRITTEN = _counter("ticks_written_total", "Ticks written to Redis.", _RELAYER)
TICKS_CONFLATED = _counter(
    "ticks_conflated_total", "Ticks that gave way to later ones while Redis was away.", _RELAYER
)
TICKS_WAITING = _gauge(
    "ticks_waiting", "Ticks received that are not known to be in Redis yet.", _RELAYER
)
TICK_WRITE_FAILURES = _counter(
    "tick_write_failures_total", "Attempts to write ticks that failed.", _RELAYER
)
TICK_WRITE_LAG = Family(
    "stocking_tick_write_lag_seconds",
    Kind.HISTOGRAM,
    "From the arrival of a batch's first tick to the batch being in Redis.",
    (_RELAYER,),
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
LAST_TICK_TIMESTAMP = _gauge(
    "last_tick_timestamp_seconds",
    "When this relayer received its last new tick; 0 before the first.",
    _RELAYER,
)

# The gateway
GATEWAY_CLIENTS = _gauge("gateway_clients", "Clients that are signed in and served.", _GATEWAY)
GATEWAY_CONNECTIONS = _gauge(
    "gateway_connections",
    "Connections held, those that are not signed in yet among them.",
    _GATEWAY,
)
GATEWAY_REDIS_CONNECTED = _gauge(
    "gateway_redis_connected", "1 while the gateway hears Redis.", _GATEWAY
)
GATEWAY_MESSAGES = _counter(
    "gateway_messages_pushed_total", "Messages handed to clients' sockets.", _GATEWAY
)
GATEWAY_CUTS = _counter(
    "gateway_clients_cut_total", "Clients cut because they took too little for too long.", _GATEWAY
)

# The state of the whole, which is nobody's process: read by the API when it is asked
SOURCE_UP = _gauge(
    "metrics_source_up",
    "1 where this source answered in time; without it the families read from it are missing.",
    _API,
    labels=("source",),
)
STAGE_DUE = _gauge(
    "stage_due_rows", "Rows that are due in a stage, counted up to 10,000.", _API, labels=("stage",)
)
STAGE_OLDEST_AGE = _gauge(
    "stage_oldest_age_seconds",
    "For how long the oldest due row of a stage has been due; 0 without any.",
    _API,
    labels=("stage",),
)
READER_BEHIND = _gauge(
    "tick_reader_behind_seconds",
    "How far a reader of the tick stream is behind its end, in time of the ticks.",
    _API,
    labels=("reader",),
)
READER_SILENT = _gauge(
    "tick_reader_silent_seconds",
    "How long ago a reader of the tick stream had last read all there was.",
    _API,
    labels=("reader",),
)
QUEUE_MESSAGES = _gauge("queue_messages", "Messages that wait in a queue.", _API, labels=("queue",))
QUEUE_UNACKNOWLEDGED = _gauge(
    "queue_unacknowledged_messages",
    "Messages of all queues that a worker has taken and not acknowledged.",
    _API,
)
FEED_STATUS = _gauge(
    "feed_status",
    "1 for what the feed's status is, 0 for what it is not.",
    _API,
    labels=("status",),
)
FEED_LAST_TICK_AGE = _gauge(
    "feed_last_tick_age_seconds",
    "How long ago the relayer that is connected received a new tick.",
    _API,
)
MARKET_TRADING = _gauge(
    "market_trading",
    "1 while ticks are to be expected: in a session outside of its auctions.",
    _API,
)
TRADING_HALTED = _gauge("trading_halted", "1 while an administrator has trading halted.", _API)
PAYMENT_ALERTS_OPEN = _gauge(
    "payment_alerts_open",
    "Alerts about payments that nobody has resolved, counted up to 10,000.",
    _API,
    labels=("kind",),
)
AUDIT_BREACHES_OPEN = _gauge(
    "audit_breaches_open",
    "Breaches of the books' invariants that nobody has resolved, counted up to 10,000.",
    _API,
)
ACCOUNTS_HALTED = _gauge(
    "accounts_halted", "Accounts whose trading is halted, counted up to 10,000.", _API
)
AUDIT_ACCOUNTS_DUE = _gauge(
    "audit_accounts_due",
    "Accounts that this night's audit has not reached, counted up to 10,000.",
    _API,
)
AUDIT_LAST_LOOK_AGE = _gauge(
    "audit_last_look_age_seconds",
    "How long ago the audit looked last; infinite before its first look.",
    _API,
)
EVENTS_REPAIRED_AGE = _gauge(
    "account_events_repaired_age_seconds",
    "How long ago all account events were last held against their streams.",
    _API,
)

FAMILIES: tuple[Family, ...] = tuple(
    family for family in tuple(globals().values()) if isinstance(family, Family)
)
