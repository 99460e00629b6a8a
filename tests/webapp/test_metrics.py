"""Metrics of the API at /metrics."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey, wait_until
from tests.support.statements import statements_counted
from tests.support.trading_harness import TestClock, TradingHarness, migrate, opened, settings_for
from tests.trading.payments.payment_rows import partly_refunded_payment
from tests.webapp.client import Api, api_on, data_of, problem_of
from trading import bootstrap as trading_core
from trading.observability.metrics import instruments
from trading.observability.metrics.families import FAMILIES, ProcessKind
from trading.redis import keys
from webapp.background_probe import BackgroundProbe
from webapp.system_metrics import KEEP_S, SystemMetrics

SOURCES = ("processes", "database", "broker", "market")


def value(sample: str, **labels: str) -> float:
    return instruments.REGISTRY.get_sample_value(f"stocking_{sample}", labels) or 0.0


@contextmanager
def sample_raised(sample: str, by: float, **labels: str) -> Iterator[None]:
    """Require that the block raises the sample by `by`."""
    before = value(sample, **labels)
    yield
    assert value(sample, **labels) == before + by


def exposed_samples(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of the API by name and labels."""
    answer = api.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return samples_of(text_string_to_metric_families(answer.get_data(as_text=True)))


def samples_of(families: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name.removeprefix("stocking_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def counted_requests(rule: str, status: str, method: str = "GET") -> dict[str, str]:
    return {"method": method, "rule": rule, "status": status}


def test_request_is_counted_by_its_rule(sqlite_api: Api) -> None:
    """Not by its path, which a user could choose freely."""
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    rule = "/api/v1/trading/realtime/stock/<stock_code>"
    with (
        sample_raised("http_request_duration_seconds_count", 2, **counted_requests(rule, "200")),
        sample_raised("http_request_duration_seconds_count", 1, **counted_requests(rule, "404")),
    ):
        for code in ("A005930", "005930", "A999999"):
            sqlite_api.get(f"/trading/realtime/stock/{code}", person)


def test_unknown_paths_and_methods_have_bounded_labels(sqlite_api: Api) -> None:
    with sample_raised("http_request_duration_seconds_count", 2, **counted_requests("none", "404")):
        sqlite_api.client.get("/nothing/here")
        sqlite_api.client.get("/%ff/../x")
    with sample_raised(
        "http_request_duration_seconds_count", 2, **counted_requests("none", "405", "other")
    ):
        for method in ("BREW", "MAKE"):
            sqlite_api.client.open("/healthz", method=method)


def test_requests_in_flight_return_to_zero(sqlite_api: Api) -> None:
    """After successes, refusals and failures."""
    person = sqlite_api.person()
    with (
        sample_raised("http_requests_in_flight", 0, method="GET"),
        sample_raised("http_requests_in_flight", 0, method="POST"),
    ):
        sqlite_api.get("/balance", person)
        sqlite_api.get("/balance")
        sqlite_api.client.post("/healthz")
        sqlite_api.client.get("/nothing")


def test_refusal_is_counted_once_by_its_code(sqlite_api: Api) -> None:
    with (
        sample_raised("problems_total", 1, code="unauthorized"),
        sample_raised("problems_total", 1, code="not-found"),
    ):
        problem_of(sqlite_api.get("/balance"), "unauthorized")
        problem_of(sqlite_api.get("/nothing"), "not-found")


def test_order_is_counted_when_accepted_and_when_cancelled(sqlite_api: Api) -> None:
    """Replays and refusals are not counted."""
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    cancelled = {"status": "CANCELLED", "reason": "cancelled-by-user"}
    with sample_raised("orders_accepted_total", 3, side="BUY", order_type="LIMIT"):
        first = sqlite_api.limit_order(person, headers={"Idempotency-Key": "one"})
        assert sqlite_api.limit_order(person, headers={"Idempotency-Key": "one"}) == first
        sqlite_api.limit_order(person)
        sqlite_api.limit_order(person)
        sqlite_api.order(person, "BUY", 10**6, order_type="LIMIT", price=60_000)
    with sample_raised("orders_ended_total", 1, **cancelled):
        data_of(sqlite_api.ask("DELETE", f"/trading/orders/{first['id']}", person))
        assert sqlite_api.ask("DELETE", f"/trading/orders/{first['id']}", person).status_code == 409
    with sample_raised("orders_ended_total", 2, **cancelled):
        for _ in range(2):
            data_of(
                sqlite_api.ask(
                    "DELETE", "/trading/orders", person, headers={"Idempotency-Key": "all"}
                )
            )
        data_of(sqlite_api.ask("DELETE", "/trading/orders", person))


def test_every_family_of_the_api_is_exposed(sqlite_api: Api) -> None:
    sqlite_api.harness.tick(70_000)
    sqlite_api.harness.match()
    data_of(sqlite_api.order(sqlite_api.person()), 201)
    sqlite_api.harness.core.redis.set(
        keys.ACCOUNT_EVENTS_SWEPT_AT, sqlite_api.harness.clock().isoformat()
    )

    names = {name for name, _ in exposed_samples(sqlite_api)}
    of_api = [family for family in FAMILIES if ProcessKind.API in family.exposed_by]
    missing = {
        family.name
        for family in of_api
        if not any(f"stocking_{name}".startswith(family.name) for name in names)
    }

    # These need a closed order, a lost task, a deadlock, and a relayer.
    assert missing <= {
        "stocking_orders_ended_total",
        "stocking_task_dispatch_failures_total",
        "stocking_transactions_retried_total",
        "stocking_feed_last_tick_age_seconds",
    }
    assert ("metrics_source_up", (("source", "database"),)) in exposed_samples(sqlite_api)


def test_system_status_is_exposed(sqlite_api: Api) -> None:
    """An overdue order, a waiting message, an open alert."""
    harness = sqlite_api.harness
    harness.tick(70_000)
    data_of(sqlite_api.order(sqlite_api.person()), 201)
    partly_refunded_payment(harness, harness.user())
    harness.core.redis.lpush("orders.execute", "a message")
    harness.clock.advance(seconds=30)

    found = exposed_samples(sqlite_api)

    assert found["stage_due_rows", (("stage", "execute"),)] == 1
    assert found["stage_oldest_age_seconds", (("stage", "execute"),)] == 30
    assert found["stage_due_rows", (("stage", "settle"),)] == 0
    assert found["queue_messages", (("queue", "orders.execute"),)] == 1
    assert found["queue_messages", (("queue", "maintenance"),)] == 0
    assert sum(number for (name, _), number in found.items() if name == "payment_alerts_open") == 1
    assert found["feed_status", (("status", "OFFLINE"),)] == 1
    assert found["feed_status", (("status", "HEALTHY"),)] == 0
    assert found["market_trading", ()] == 1
    assert found["trading_halted", ()] == 0
    assert {number for (name, _), number in found.items() if name == "metrics_source_up"} == {1}


@pytest.mark.parametrize(
    "asked",
    [
        {"query_string": "name[]=x&name[]=%ff"},
        {"headers": {"Accept": "application/openmetrics-text; version=x;;=,,"}},
        {"headers": {"Accept-Encoding": "gzip;q=nan"}},
        {"method": "HEAD"},
    ],
)
def test_exposition_does_not_depend_on_the_request(sqlite_api: Api, asked: dict[str, Any]) -> None:
    answer = sqlite_api.client.open("/metrics", **asked)

    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert sqlite_api.client.post("/metrics").status_code == 405


@pytest.mark.parametrize("way", ["stop", "pause"])
def test_other_sources_are_exposed_without_redis(
    migrated_sqlite: str, valkey_server: Valkey, way: str
) -> None:
    """In bounded time, and the missing source is marked."""
    with opened(settings_for(migrated_sqlite, valkey_server.url)) as harness:
        api = api_on(harness)
        getattr(valkey_server, way)()
        try:
            found = exposed_samples(api)
        finally:
            {"stop": valkey_server.start, "pause": valkey_server.resume}[way]()

    assert {source: found["metrics_source_up", (("source", source),)] for source in SOURCES} == {
        "processes": 1,
        "database": 1,
        "broker": 0,
        "market": 0,
    }
    assert found["stage_due_rows", (("stage", "execute"),)] == 0
    assert not {name for name, _ in found} & {
        "queue_messages",
        "feed_status",
        "tick_reader_lag_seconds",
    }


def test_other_sources_are_exposed_without_the_database(valkey_url: str) -> None:
    nowhere = f"mysql+pymysql://root@127.0.0.1:{free_port()}/none"
    with opened_without_rows(nowhere, valkey_url) as api:
        found = exposed_samples(api)

    assert found["metrics_source_up", (("source", "database"),)] == 0
    assert found["metrics_source_up", (("source", "broker"),)] == 1
    assert found["feed_status", (("status", "OFFLINE"),)] == 1
    assert ("queue_messages", (("queue", "alerts"),)) in found
    assert not {name for name, _ in found} & {"stage_due_rows", "trading_halted"}


def test_hanging_database_delays_no_other_source(valkey_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nowhere = f"mysql+pymysql://root@127.0.0.1:{silent.getsockname()[1]}/none"
        core = trading_core.build(settings_for(nowhere, valkey_url, hours_rule="krx"))
        try:
            api = api_on(TradingHarness(core, TestClock(), []))
            found = exposed_samples(api)
        finally:
            core.close()

    assert {source: found["metrics_source_up", (("source", source),)] for source in SOURCES} == {
        "processes": 1,
        "database": 0,
        "broker": 1,
        "market": 1,
    }
    assert ("market_trading", ()) in found


@contextmanager
def opened_without_rows(database_uri: str, redis_url: str) -> Iterator[Api]:
    core = trading_core.build(settings_for(database_uri, redis_url), clock=(clock := TestClock()))
    try:
        yield api_on(TradingHarness(core, clock, []))
    finally:
        core.close()


class _Broken(Collector):
    def collect(self) -> list[Metric]:
        raise OSError


def test_broken_metric_files_hide_no_other_source(sqlite_api: Api) -> None:
    found = samples_of(SystemMetrics(sqlite_api.harness.core, _Broken()).collect())

    assert found["metrics_source_up", (("source", "processes"),)] == 0
    assert found["metrics_source_up", (("source", "database"),)] == 1
    assert ("stage_due_rows", (("stage", "execute"),)) in found


def test_hanging_probe_is_not_started_again() -> None:
    """Callers get None after their timeout; a second run starts after the first has ended."""
    begun, go_on = [], threading.Event()

    def scrape() -> int:
        begun.append(threading.current_thread())
        go_on.wait(DEADLINE_S)
        return len(begun)

    hanging = BackgroundProbe(scrape, name="a-source", keep_s=3_600)
    for _ in range(3):
        hanging.begin()
        assert hanging.result(within_s=0.05) is None
    assert len(begun) == 1

    go_on.set()
    wait_until(lambda: not begun[0].is_alive(), what="the end of the scrape")
    hanging.begin()
    assert hanging.result(within_s=0) == 1
    assert len(begun) == 1


def test_failed_probe_is_cached() -> None:
    answers = [None, 7]
    asked: list[int | None] = []

    def scrape() -> int:
        asked.append(answers[len(asked)])
        if asked[-1] is None:
            raise ConnectionError
        return asked[-1]

    kept = BackgroundProbe(scrape, name="a-source", keep_s=3_600)
    for _ in range(2):
        kept.begin()
        assert kept.result(within_s=DEADLINE_S) is None
    assert asked == [None]

    asked.clear()
    answers[:] = [None, 7]
    fleeting = BackgroundProbe(scrape, name="a-source", keep_s=0)
    fleeting.begin()
    assert fleeting.result(within_s=DEADLINE_S) is None
    fleeting.begin()
    assert fleeting.result(within_s=DEADLINE_S) == 7


def test_database_is_probed_once_per_interval(sqlite_api: Api) -> None:
    """A hundred scrapes cost one probe."""
    began = time.monotonic()
    with statements_counted(sqlite_api.harness.core.database.engine) as sent:
        for _ in range(100):
            exposed_samples(sqlite_api)

    probes = sum("match_cursors" in statement for statement in sent)
    assert 1 <= probes <= 1 + (time.monotonic() - began) / KEEP_S


def test_database_without_tables_is_a_failed_source(tmp_path: Any, valkey_url: str) -> None:
    with opened_without_rows(f"sqlite:///{tmp_path}/empty.db", valkey_url) as api:
        assert exposed_samples(api)["metrics_source_up", (("source", "database"),)] == 0
    migrate(f"sqlite:///{tmp_path}/empty.db")
    with opened_without_rows(f"sqlite:///{tmp_path}/empty.db", valkey_url) as api:
        assert exposed_samples(api)["metrics_source_up", (("source", "database"),)] == 1
