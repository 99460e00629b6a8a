"""The alert rules that hold at one moment, for ``flask status``.

deploy/monitoring/alerts.yml has the same rules for Prometheus, which also evaluates rules over a
period of time. A test compares the thresholds of both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trading.audit.model import last_night
from trading.config.processes import ProcessKind
from trading.exchange.time import kst_text
from trading.marketdata.health import FeedStatus
from trading.operations.system_status import (
    ALERTS,
    CANDLES,
    DatabaseStatus,
    MarketStatus,
    PipelineStage,
    SystemStatus,
)
from trading.redis.running_processes import Processes

RUNBOOK = "docs/operations/runbook.md"

# A figure above its threshold raises the alert: seconds, or a number of rows.
THRESHOLDS: Mapping[str, int] = {
    "OrdersOverdue": 30,
    "MatcherStalled": 60,
    "TickReaderLagging": 120,
    "AuditBreach": 0,
    "AuditStalled": 600,
    "AuditLate": 0,
    "AccountEventsLate": 120,
    "PaymentAlertsOpen": 0,
    "PaymentsOverdue": 300,
}
# How long accounts may be left for the nightly audit.
AUDIT_LATE_AFTER = timedelta(hours=6)
ORDER_STAGES = (PipelineStage.EXECUTE, PipelineStage.SETTLE, PipelineStage.PORTFOLIO)
PAYMENT_STAGES = (PipelineStage.PAYMENTS, PipelineStage.REFUNDS)
LAGGING_READERS = (CANDLES, ALERTS)
# Rules without a threshold.
CONDITIONS = frozenset(
    {"BeatStopped", "FeedNotHealthy", "MetricsSourceDown", "NoRelayerConnected", "ProcessMissing"}
)


class Severity(StrEnum):
    """Critical: act now, as money, orders or market data have stopped. Warning: act today."""

    CRITICAL = "critical"
    WARNING = "warning"


_WARNINGS = frozenset({"TickReaderLagging", "AuditLate", "AccountEventsLate"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, as one sentence, with the page that says what to do."""

    name: str
    severity: Severity
    text: str
    page: str


def alert(name: str, text: str) -> Problem:
    """Return the problem of an alert, with its section in the runbook."""
    severity = Severity.WARNING if name in _WARNINGS else Severity.CRITICAL
    return Problem(name, severity, text, f"{RUNBOOK}#{name.lower()}")


def find_problems(
    status: SystemStatus, processes: Processes | None, *, is_beat_active: bool | None
) -> list[Problem]:
    """Return every alert rule that is broken now, the causes before their effects.

    Rules of a part that is None (of the status, the processes, the beat) are not checked.
    """
    now = status.taken_at
    found = list(_of_processes(processes))
    if is_beat_active is False:
        found.append(alert("BeatStopped", "No beat is active: no periodic task is sent."))
    if status.market is not None:
        found += _of_market(status.market)
    # Periodic work is late only if a worker has run for that long.
    workers_since = None if processes is None else processes.running_since(ProcessKind.WORKER)
    if status.database is not None:
        found += _of_database(status.database, status.market, workers_since, now=now)
    if status.market is not None and status.market.events_repaired_at and workers_since:
        age_s = _age_s(max(status.market.events_repaired_at, workers_since), now)
        if age_s > THRESHOLDS["AccountEventsLate"]:
            text = f"Account events have not been repaired for {span(age_s)}."
            found.append(alert("AccountEventsLate", text))
    return found


def _of_processes(processes: Processes | None) -> Iterator[Problem]:
    if processes is None:
        return
    if not processes.running and not processes.silent_since:
        yield alert("ProcessMissing", "No process is running.")
        return
    for kind in ProcessKind:
        if processes.is_running(kind):
            continue
        since = processes.silent_since.get(kind)
        if since is None:
            yield alert("ProcessMissing", f"No {kind} is running.")
        else:
            yield alert("ProcessMissing", f"No {kind} has responded since {kst_text(since)}.")


def _of_market(market: MarketStatus) -> Iterator[Problem]:
    if not market.lease_held:
        yield alert("NoRelayerConnected", "No relayer holds the lease to connect to the feed.")
    if market.trading and market.diagnosis.status is not FeedStatus.HEALTHY:
        reasons = ", ".join(market.diagnosis.reasons)
        text = f"The market is open and the feed is {market.diagnosis.status}"
        yield alert("FeedNotHealthy", f"{text} ({reasons})." if reasons else f"{text}.")


def _of_database(
    database: DatabaseStatus,
    market: MarketStatus | None,
    workers_since: datetime | None,
    *,
    now: datetime,
) -> Iterator[Problem]:
    for name, stages in (("OrdersOverdue", ORDER_STAGES), ("PaymentsOverdue", PAYMENT_STAGES)):
        for stage in stages:
            age_s = database.due[stage].oldest_age_s or 0
            if age_s > THRESHOLDS[name]:
                since = kst_text(now - timedelta(seconds=age_s))
                yield alert(
                    name,
                    f"Work in stage {stage} has waited for {span(age_s)}, since {since}.",
                )
    yield from _of_readers(database, market, workers_since, now=now)
    audit = database.audit
    if audit.breaches > THRESHOLDS["AuditBreach"]:
        yield alert("AuditBreach", f"{audit.breaches} audit breaches are unresolved.")
    begun = [at for at in (audit.run_at, workers_since) if at is not None]
    idle_s = _age_s(max(begun), now) if begun else 0
    if idle_s > THRESHOLDS["AuditStalled"]:
        yield alert("AuditStalled", f"The audit has not run for {span(idle_s)}.")
    if audit.accounts_due > THRESHOLDS["AuditLate"] and now - last_night(now) > AUDIT_LATE_AFTER:
        yield alert(
            "AuditLate", f"The nightly audit has not reached {audit.accounts_due} accounts."
        )
    count = sum(database.payment_alerts.values())
    if count > THRESHOLDS["PaymentAlertsOpen"]:
        kinds = ", ".join(sorted(database.payment_alerts))
        yield alert("PaymentAlertsOpen", f"{count} payment alerts are unresolved: {kinds}.")


def _of_readers(
    database: DatabaseStatus,
    market: MarketStatus | None,
    workers_since: datetime | None,
    *,
    now: datetime,
) -> Iterator[Problem]:
    for reader in database.readers:
        if reader.name in LAGGING_READERS:
            behind_s = None if market is None else reader.behind_s(market.stream_end)
            if behind_s is not None and behind_s > THRESHOLDS["TickReaderLagging"]:
                text = f"{reader.name} lags {span(behind_s)} behind the tick stream."
                yield alert("TickReaderLagging", text)
        elif reader.read_at is not None:
            since = max(reader.read_at, workers_since or reader.read_at)
            age_s = _age_s(since, now)
            if age_s > THRESHOLDS["MatcherStalled"]:
                text = f"{reader.name} has been behind for {span(age_s)}, since {kst_text(since)}"
                yield alert("MatcherStalled", f"{text}: resting orders do not fill.")


def span(seconds: float) -> str:
    """Return a duration for people: ``80 s``, ``12 min`` or ``5 h 30 min``."""
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _age_s(at: datetime, now: datetime) -> float:
    return (now - at).total_seconds()
