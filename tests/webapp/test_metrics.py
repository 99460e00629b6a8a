"""What the API counts of its requests, and what it tells at /metrics, of itself and of the whole."""

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
from trading.observability.metrics.families import FAMILIES, Process
from trading.redis import keys
from webapp.background_probe import BackgroundProbe
from webapp.system_metrics import KEEP_S, SystemMetrics

SOURCES = ("processes", "database", "broker", "market")


def value(sample: str, **labels: str) -> float:
    return instruments.REGISTRY.get_sample_value(f"stocking_{sample}", labels) or 0.0


@contextmanager
def raised(sample: str, by: float, **labels: str) -> Iterator[None]:
    """What happens in the block raises the sample by so much."""
    before = value(sample, **labels)
    yield
    assert value(sample, **labels) == before + by


def told(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample that the API tells, by name and labels."""
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


def test_a_request_is_counted_by_its_rule_and_never_by_its_path(sqlite_api: Api) -> None:
    """What a user puts into a path would be a series for each of his ideas."""
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    rule = "/api/v1/trading/realtime/stock/<stock_code>"
    with (
        raised("http_request_duration_seconds_count", 2, **counted_requests(rule, "200")),
        raised("http_request_duration_seconds_count", 1, **counted_requests(rule, "404")),
    ):
        for code in ("A005930", "005930", "A999999"):
            sqlite_api.get(f"/trading/realtime/stock/{code}", person)


def test_what_has_no_rule_or_no_known_method_is_still_bounded(sqlite_api: Api) -> None:
    """Anybody may invent paths and methods."""
    with raised("http_request_duration_seconds_count", 2, **counted_requests("none", "404")):
        sqlite_api.client.get("/nothing/here")
        sqlite_api.client.get("/%ff/../x")
    with raised(
        "http_request_duration_seconds_count", 2, **counted_requests("none", "405", "other")
    ):
        for method in ("BREW", "MAKE"):
            sqlite_api.client.open("/healthz", method=method)


def test_nothing_is_in_flight_when_all_is_answered(sqlite_api: Api) -> None:
    """Whether answered well, refused, or failed."""
    person = sqlite_api.person()
    with (
        raised("http_requests_in_flight", 0, method="GET"),
        raised("http_requests_in_flight", 0, method="POST"),
    ):
        sqlite_api.get("/balance", person)
        sqlite_api.get("/balance")
        sqlite_api.client.post("/healthz")
        sqlite_api.client.get("/nothing")


def test_a_refusal_is_counted_by_its_code(sqlite_api: Api) -> None:
    """Once, where it is answered."""
    with (
        raised("problems_total", 1, code="unauthorized"),
        raised("problems_total", 1, code="not-found"),
    ):
        problem_of(sqlite_api.get("/balance"), "unauthorized")
        problem_of(sqlite_api.get("/nothing"), "not-found")


def test_an_order_is_counted_when_it_is_accepted_and_when_its_user_ends_it(sqlite_api: Api) -> None:
    """A repetition of a request is no second order, nor is one that was refused."""
    person = sqlite_api.person()
    sqlite_api.harness.tick(70_000)
    cancelled = {"status": "CANCELLED", "reason": "cancelled-by-user"}
    with raised("orders_accepted_total", 3, side="BUY", order_type="LIMIT"):
        first = sqlite_api.limit_order(person, headers={"Idempotency-Key": "one"})
        assert sqlite_api.limit_order(person, headers={"Idempotency-Key": "one"}) == first
        sqlite_api.limit_order(person)
        sqlite_api.limit_order(person)
        sqlite_api.order(person, "BUY", 10**6, order_type="LIMIT", price=60_000)
    with raised("orders_ended_total", 1, **cancelled):
        data_of(sqlite_api.ask("DELETE", f"/trading/orders/{first['id']}", person))
        assert sqlite_api.ask("DELETE", f"/trading/orders/{first['id']}", person).status_code == 409
    with raised("orders_ended_total", 2, **cancelled):
        for _ in range(2):
            data_of(
                sqlite_api.ask(
                    "DELETE", "/trading/orders", person, headers={"Idempotency-Key": "all"}
                )
            )
        data_of(sqlite_api.ask("DELETE", "/trading/orders", person))


def test_every_family_of_the_api_is_told(sqlite_api: Api) -> None:
    """And no other but those that workers in this very process would count."""
    sqlite_api.harness.tick(70_000)
    sqlite_api.harness.match()
    data_of(sqlite_api.order(sqlite_api.person()), 201)
    sqlite_api.harness.core.redis.set(
        keys.ACCOUNT_EVENTS_SWEPT_AT, sqlite_api.harness.clock().isoformat()
    )

    names = {name for name, _ in told(sqlite_api)}
    of_api = [family for family in FAMILIES if Process.API in family.exposed_by]
    missing = {
        family.name
        for family in of_api
        if not any(f"stocking_{name}".startswith(family.name) for name in names)
    }

    # These need an order that ended, a wake-up that was lost, a transaction that met another one, and a relayer.
    assert missing <= {
        "stocking_orders_ended_total",
        "stocking_task_dispatch_failures_total",
        "stocking_transactions_retried_total",
        "stocking_feed_last_tick_age_seconds",
    }
    assert ("metrics_source_up", (("source", "database"),)) in told(sqlite_api)


def test_the_state_of_the_whole_is_told(sqlite_api: Api) -> None:
    """An order that nobody executes, a message that nobody takes, an alert that nobody resolved."""
    harness = sqlite_api.harness
    harness.tick(70_000)
    data_of(sqlite_api.order(sqlite_api.person()), 201)
    partly_refunded_payment(harness, harness.user())
    harness.core.redis.lpush("orders.execute", "a message")
    harness.clock.advance(seconds=30)

    found = told(sqlite_api)

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
def test_nothing_that_is_asked_changes_the_answer(sqlite_api: Api, asked: dict[str, Any]) -> None:
    """One text for everybody, whatever he says that he takes."""
    answer = sqlite_api.client.open("/metrics", **asked)

    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert sqlite_api.client.post("/metrics").status_code == 405


@pytest.mark.parametrize("way", ["stop", "pause"])
def test_without_redis_the_rest_is_told(
    migrated_sqlite: str, valkey_server: Valkey, way: str
) -> None:
    """In bounded time, and it is said what is missing."""
    with opened(settings_for(migrated_sqlite, valkey_server.url)) as harness:
        api = api_on(harness)
        getattr(valkey_server, way)()
        try:
            found = told(api)
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


def test_without_the_database_the_rest_is_told(valkey_url: str) -> None:
    """The queues and the feed are told, and the requests of this API."""
    nowhere = f"mysql+pymysql://root@127.0.0.1:{free_port()}/none"
    with opened_without_rows(nowhere, valkey_url) as api:
        found = told(api)

    assert found["metrics_source_up", (("source", "database"),)] == 0
    assert found["metrics_source_up", (("source", "broker"),)] == 1
    assert found["feed_status", (("status", "OFFLINE"),)] == 1
    assert ("queue_messages", (("queue", "alerts"),)) in found
    assert not {name for name, _ in found} & {"stage_due_rows", "trading_halted"}


def test_a_database_that_hangs_holds_up_no_other_source(valkey_url: str) -> None:
    """A server that takes the connection and never says a word: the database's time and its calendar are not waited for either."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        nowhere = f"mysql+pymysql://root@127.0.0.1:{silent.getsockname()[1]}/none"
        core = trading_core.build(settings_for(nowhere, valkey_url, hours_rule="krx"))
        try:
            api = api_on(TradingHarness(core, TestClock(), []))
            found = told(api)
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


def test_broken_files_hide_nothing_else(sqlite_api: Api) -> None:
    """What the processes have counted is a source like the others."""
    found = samples_of(SystemMetrics(sqlite_api.harness.core, _Broken()).collect())

    assert found["metrics_source_up", (("source", "processes"),)] == 0
    assert found["metrics_source_up", (("source", "database"),)] == 1
    assert ("stage_due_rows", (("stage", "execute"),)) in found


def test_a_look_that_hangs_holds_nobody_up_and_is_not_begun_again() -> None:
    """Who asks goes without an answer after his time; a second look begins when the first has ended, however many ask."""
    begun, go_on = [], threading.Event()

    def look() -> int:
        begun.append(threading.current_thread())
        go_on.wait(DEADLINE_S)
        return len(begun)

    hanging = BackgroundProbe(look, name="a-source", keep_s=3_600)
    for _ in range(3):
        hanging.begin()
        assert hanging.result(within_s=0.05) is None
    assert len(begun) == 1

    go_on.set()
    wait_until(lambda: not begun[0].is_alive(), what="the end of the look")
    hanging.begin()
    assert hanging.result(within_s=0) == 1
    assert len(begun) == 1


def test_a_look_that_failed_is_an_answer_for_as_long() -> None:
    """What is in trouble is not asked at every turn, and what it says afterwards is heard again."""
    answers = [None, 7]
    asked: list[int | None] = []

    def look() -> int:
        asked.append(answers[len(asked)])
        if asked[-1] is None:
            raise ConnectionError
        return asked[-1]

    kept = BackgroundProbe(look, name="a-source", keep_s=3_600)
    for _ in range(2):
        kept.begin()
        assert kept.result(within_s=DEADLINE_S) is None
    assert asked == [None]

    asked.clear()
    answers[:] = [None, 7]
    fleeting = BackgroundProbe(look, name="a-source", keep_s=0)
    fleeting.begin()
    assert fleeting.result(within_s=DEADLINE_S) is None
    fleeting.begin()
    assert fleeting.result(within_s=DEADLINE_S) == 7


def test_the_database_is_not_asked_more_often_for_being_looked_at(sqlite_api: Api) -> None:
    """A hundred who ask cost it a look every few seconds, as one does."""
    began = time.monotonic()
    with statements_counted(sqlite_api.harness.core.database.engine) as sent:
        for _ in range(100):
            told(sqlite_api)

    looks = sum("match_cursors" in statement for statement in sent)
    assert 1 <= looks <= 1 + (time.monotonic() - began) / KEEP_S


def test_a_database_without_our_tables_is_a_source_that_fails(
    tmp_path: Any, valkey_url: str
) -> None:
    """As it is before the first migration: no 500, and the others are told."""
    with opened_without_rows(f"sqlite:///{tmp_path}/empty.db", valkey_url) as api:
        assert told(api)["metrics_source_up", (("source", "database"),)] == 0
    migrate(f"sqlite:///{tmp_path}/empty.db")
    with opened_without_rows(f"sqlite:///{tmp_path}/empty.db", valkey_url) as api:
        assert told(api)["metrics_source_up", (("source", "database"),)] == 1
