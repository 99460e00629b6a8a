"""The rules of `flask status` are those of alerts.yml, and hold at their thresholds."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from launcher.plan import ROOT
from trading.config.processes import ProcessKind
from trading.marketdata.health import Diagnosis, FeedStatus
from trading.marketdata.ticks import Position
from trading.operations import alert_rules
from trading.operations.alert_rules import find_problems
from trading.operations.system_status import (
    ALERTS,
    CANDLES,
    AuditStatus,
    DatabaseStatus,
    DueRows,
    MarketStatus,
    PipelineStage,
    Reader,
    SystemStatus,
    matcher,
)
from trading.redis.running_processes import Processes, RunningProcess

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy/monitoring/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
# Rules over a period of time or on one process's metrics, which the status does not check.
OF_A_PERIOD = {
    "ApiErrors",
    "ApiSlow",
    "BasePriceJumped",
    "GatewayRedisDisconnected",
    "InternalErrors",
    "PortoneUnanswered",
    "QueueGrowing",
    "SlowClientsDisconnected",
    "SweepFoundOverdueRows",
    "TargetDown",
    "TaskDispatchFailing",
    "TasksFailing",
    "TicksMalformed",
    "TradesLost",
    "TransactionsRetried",
    "WebhooksRefused",
}
NOW = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)


def test_every_rule_is_checked_here_or_over_a_period() -> None:
    checked = {*alert_rules.THRESHOLDS, *alert_rules.CONDITIONS}
    assert not checked & OF_A_PERIOD
    assert checked | OF_A_PERIOD == set(RULES)


@pytest.mark.parametrize("name", alert_rules.THRESHOLDS)
def test_threshold_is_that_of_the_alert(name: str) -> None:
    (threshold,) = re.findall(r"> (\d+)$", RULES[name]["expr"].strip())
    assert int(threshold) == alert_rules.THRESHOLDS[name]


def test_stages_readers_and_severities_are_those_of_the_alerts() -> None:
    def values(name: str, label: str) -> set[str]:
        (found,) = re.findall(rf'{label}=~"([^"]+)"', RULES[name]["expr"])
        return set(found.split("|"))

    assert values("OrdersOverdue", "stage") == set(alert_rules.ORDER_STAGES)
    assert values("PaymentsOverdue", "stage") == set(alert_rules.PAYMENT_STAGES)
    assert values("TickReaderLagging", "reader") == set(alert_rules.LAGGING_READERS)
    assert timedelta(hours=int(RULES["AuditLate"]["for"].removesuffix("h"))) == (
        alert_rules.AUDIT_LATE_AFTER
    )
    for name in {*alert_rules.THRESHOLDS, *alert_rules.CONDITIONS}:
        problem = alert_rules.alert(name, "x")
        assert problem.severity == RULES[name]["labels"]["severity"]
        assert problem.page == RULES[name]["annotations"]["runbook"]


def processes(*kinds: str, started_at: datetime = LONG_AGO) -> Processes:
    running = tuple(RunningProcess(kind, "machine", 1, started_at) for kind in kinds)
    return Processes(running, {})


def database(**changes: Any) -> DatabaseStatus:
    healthy = DatabaseStatus(
        due={stage: DueRows(0, None) for stage in PipelineStage},
        readers=(
            Reader(matcher(0), Position(NOW_MS, 0), NOW),
            Reader(CANDLES, Position(NOW_MS, 0), NOW),
            Reader(ALERTS, Position(NOW_MS, 0), None),
        ),
        payment_alerts={},
        halted_since=None,
        audit=AuditStatus(breaches=0, halted_accounts=0, accounts_due=0, run_at=NOW),
    )
    return replace(healthy, **changes)


NOW_MS = int(NOW.timestamp() * 1_000)
MARKET = MarketStatus(
    diagnosis=Diagnosis(FeedStatus.HEALTHY, ()),
    health=None,
    lease_held=True,
    trading=True,
    stream_end=Position(NOW_MS, 0),
    events_repaired_at=NOW,
)


def names(
    rows: DatabaseStatus | None = None,
    market: MarketStatus | None = MARKET,
    running: Processes | None = None,
    *,
    is_beat_active: bool | None = True,
    now: datetime = NOW,
) -> list[str]:
    found = find_problems(
        SystemStatus(taken_at=now, database=rows or database(), queues=None, market=market),
        processes(*ProcessKind) if running is None else running,
        is_beat_active=is_beat_active,
    )
    return [problem.name for problem in found]


def overdue(stage: PipelineStage, age_s: int) -> DatabaseStatus:
    return database(due={**database().due, stage: DueRows(1, age_s)})


def reading(index: int, age_s: int, *, name: str = "") -> DatabaseStatus:
    readers = list(database().readers)
    then = NOW - timedelta(seconds=age_s)
    readers[index] = replace(
        readers[index], position=Position(NOW_MS - age_s * 1_000, 0), read_at=then
    )
    return database(readers=tuple(readers))


def audited(**changes: Any) -> DatabaseStatus:
    return database(audit=replace(database().audit, **changes))


def test_healthy_system_has_no_problem() -> None:
    assert names() == []
    assert names(market=None, is_beat_active=None) == []


BOUNDS: list[tuple[str, Callable[[int], DatabaseStatus], int]] = [
    *(
        ("OrdersOverdue", lambda value, stage=stage: overdue(stage, value), 30)
        for stage in (PipelineStage.EXECUTE, PipelineStage.SETTLE, PipelineStage.PORTFOLIO)
    ),
    ("PaymentsOverdue", lambda value: overdue(PipelineStage.PAYMENTS, value), 300),
    ("PaymentsOverdue", lambda value: overdue(PipelineStage.REFUNDS, value), 300),
    ("MatcherStalled", lambda value: reading(0, value), 60),
    ("TickReaderLagging", lambda value: reading(1, value), 120),
    ("TickReaderLagging", lambda value: reading(2, value), 120),
    ("AuditBreach", lambda value: audited(breaches=value), 0),
    ("AuditStalled", lambda value: audited(run_at=NOW - timedelta(seconds=value)), 600),
    ("AuditLate", lambda value: audited(accounts_due=value), 0),
    ("PaymentAlertsOpen", lambda value: database(payment_alerts={"x": value} if value else {}), 0),
]


@pytest.mark.parametrize(("name", "rows", "threshold"), BOUNDS)
def test_rule_is_broken_above_its_threshold(
    name: str, rows: Callable[[int], DatabaseStatus], threshold: int
) -> None:
    assert names(rows(threshold)) == []
    assert names(rows(threshold + 1)) == [name]


def test_accounts_are_left_for_the_audit_for_six_hours() -> None:
    """From 04:00 in Korea."""
    began = datetime(2026, 11, 29, 19, 0, tzinfo=UTC)
    rows = database(audit=replace(database().audit, accounts_due=5, run_at=None))
    market = replace(MARKET, events_repaired_at=None)
    running = processes(*ProcessKind, started_at=began + timedelta(hours=6))
    for minutes, expected in ((0, []), (1, ["AuditLate"])):
        now = began + timedelta(hours=6, minutes=minutes)
        assert names(rows, market, running, now=now) == expected


def test_account_events_are_late_above_the_threshold() -> None:
    for age_s, expected in ((120, []), (121, ["AccountEventsLate"])):
        market = replace(MARKET, events_repaired_at=NOW - timedelta(seconds=age_s))
        assert names(market=market) == expected


@pytest.mark.parametrize("status", [one for one in FeedStatus if one is not FeedStatus.HEALTHY])
def test_feed_is_checked_while_the_market_is_open(status: FeedStatus) -> None:
    market = replace(MARKET, diagnosis=Diagnosis(status, ()))
    assert names(market=market) == ["FeedNotHealthy"]
    assert names(market=replace(market, trading=False)) == []


def test_missing_lease_and_beat_are_reported() -> None:
    assert names(market=replace(MARKET, lease_held=False)) == ["NoRelayerConnected"]
    assert names(is_beat_active=False) == ["BeatStopped"]


@pytest.mark.parametrize("kind", ProcessKind)
def test_missing_process_is_reported_with_its_last_report(kind: ProcessKind) -> None:
    others = [one for one in ProcessKind if one is not kind]
    for silent, text in (
        ({}, f"No {kind} is running."),
        ({kind: NOW}, f"No {kind} has responded since 2026-11-30 12:00:00+09:00."),
    ):
        running = Processes(processes(*others).running, silent)
        (problem,) = find_problems(
            SystemStatus(taken_at=NOW, database=None, queues=None, market=None),
            running,
            is_beat_active=None,
        )
        assert (problem.name, problem.text) == ("ProcessMissing", text)


def test_system_that_is_not_running_is_one_problem() -> None:
    assert names(running=Processes((), {})) == ["ProcessMissing"]


def test_periodic_work_is_late_only_if_a_worker_could_have_done_it() -> None:
    """After a night without the system, its first minute is no fault."""
    market = replace(MARKET, events_repaired_at=LONG_AGO)
    rows = replace(reading(0, 86_400), audit=replace(database().audit, run_at=LONG_AGO))
    rows = replace(rows, readers=rows.readers[:1])

    assert names(rows, market, processes(*ProcessKind, started_at=NOW)) == []
    assert set(names(rows, market)) == {"MatcherStalled", "AuditStalled", "AccountEventsLate"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(31, "31 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_260, "2 h 1 min")],
)
def test_span_is_readable(seconds: int, text: str) -> None:
    assert alert_rules.span(seconds) == text
