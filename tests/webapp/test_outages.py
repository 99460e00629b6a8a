"""Redis or the database unavailable: clear responses and no 500.

A paused server stays paused until each response arrives, which proves that nothing waits for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from launcher.plan import ROOT
from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import DatabaseServer, wait_until
from tests.support.trading_harness import TradingHarness, migrate, opened, settings_for
from tests.webapp.client import Api, Person, api_on, bearer, data_of, problem_of
from trading import bootstrap as trading_core
from trading.tasks import Task, TaskRequest
from webapp import create_app
from webapp.background_sender import background_dispatcher, background_publisher


@pytest.fixture
def sending_api(server_uri: str, valkey_url: str) -> Iterator[Api]:
    """The API as in production, with background threads that send tasks and publish events."""
    with opened(settings_for(server_uri, valkey_url)) as harness:
        core = trading_core.build(
            harness.settings,
            deliver=background_dispatcher(harness.settings),
            publishing=background_publisher,
            clock=harness.clock,
        )
        try:
            yield api_on(TradingHarness(core, harness.clock))
        finally:
            core.close()


def _owner(api: Api) -> Person:
    """A user who holds shares. Tasks are run here, because there is no worker."""
    person = api.person()
    api.harness.tick(70_000)
    order = data_of(api.order(person, "BUY", 10), 201)
    api.harness.run(TaskRequest(Task.EXECUTE_ORDERS, (UUID(order["id"]),)))
    (execution,) = data_of(api.get(f"/trading/orders/{order['id']}", person))["executions"]
    for task in (Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS):
        api.harness.run(TaskRequest(task, (UUID(execution["id"]),)))
    return person


def test_orders_without_redis(sending_api: Api, redis_away: Callable[[], None]) -> None:
    """A sale is accepted and stored; a buy needs a price and is refused."""
    person = _owner(sending_api)
    redis_away()

    sale = data_of(sending_api.order(person, "SELL", 3), 201)
    problem_of(sending_api.order(person, "BUY", 1), "no-live-price")

    assert data_of(sending_api.get(f"/trading/orders/{sale['id']}", person))["status"] == "PENDING"
    assert sending_api.harness.breaches() == []


def test_limit_orders_without_redis(sending_api: Api, redis_away: Callable[[], None]) -> None:
    """They can be placed, explained, amended and cancelled."""
    person = _owner(sending_api)
    redis_away()

    path = f"/trading/orders/{sending_api.limit_order(person)['id']}"
    waiting = data_of(sending_api.get(f"{path}/explain", person))["waiting"]
    assert (
        data_of(sending_api.ask("PATCH", path, person, json={"price": 61_000}))["reserved_cash"]
        == 610_091
    )
    assert data_of(sending_api.ask("DELETE", path, person))["status"] == "CANCELLED"

    assert [reason["code"] for reason in waiting["reasons"]] == ["market-unavailable"]
    assert data_of(sending_api.get("/balance", person))["reserved_cash"] == 0
    assert sending_api.harness.breaches() == []


def test_portfolio_without_redis(sending_api: Api, redis_away: Callable[[], None]) -> None:
    """Holdings have their recorded price, and cash can be moved."""
    person = _owner(sending_api)
    redis_away()

    balance = data_of(sending_api.get("/balance", person))
    (holding,) = data_of(sending_api.get("/portfolio", person))["items"]
    summary = data_of(sending_api.get("/portfolio/summary", person))
    data_of(sending_api.post("/balance/deposit", person, {"amount": 1}), 201)

    total = balance["cash_balance"] + 700_000
    assert (balance["total_assets"], balance["unpriced_holdings"]) == (total, 0)
    assert (holding["quantity"], holding["price"], holding["freshness"]) == (10, 70_000, "STALE")
    assert (summary["total_assets"], summary["todays_change"]) == (total, -105)


@pytest.mark.parametrize(
    "path", ["stock/A005930", "stocks/multiple?stock_codes=A005930", "stocks/all", "daemon/health"]
)
def test_quotes_without_redis_are_503(
    sqlite_api: Api, redis_away: Callable[[], None], path: str
) -> None:
    person = sqlite_api.person()
    redis_away()

    problem_of(sqlite_api.get(f"/trading/realtime/{path}", person), "upstream-unavailable")


def test_readiness_without_redis(sqlite_api: Api, redis_away: Callable[[], None]) -> None:
    """Orders can be accepted, so the process stays ready and reports what is missing."""
    assert sqlite_api.client.get("/readyz").get_json() == {
        "status": "ready",
        "database": "ok",
        "redis": "ok",
    }
    redis_away()

    answer = sqlite_api.client.get("/readyz")
    assert sqlite_api.client.get("/healthz").get_json() == {"status": "ok"}

    assert (answer.status_code, answer.get_json()["redis"]) == (200, "unavailable")


def test_every_route_is_503_without_the_database(sqlite_api: Api) -> None:
    """No route hangs; the process is alive but not ready."""
    person = sqlite_api.person()
    away = f"mysql+pymysql://root@127.0.0.1:{free_port()}/stocking?charset=utf8mb4"
    core = trading_core.build(
        settings_for(away, sqlite_api.harness.settings.redis_url.get_secret_value())
    )
    api = api_on(TradingHarness(core, sqlite_api.harness.clock))
    try:
        for path in (
            "/users/me",
            "/balance",
            "/portfolio",
            "/trading/orders",
            "/trading/transactions",
        ):
            problem_of(api.get(path, person), "service-unavailable")
        for headers in ({}, {"Idempotency-Key": "key"}):
            problem_of(api.order(person, headers=headers), "service-unavailable")
        problem_of(api.register(), "service-unavailable")
        problem_of(api.login(person.email), "service-unavailable")
        problem_of(
            api.post("/users/refresh", headers=bearer(person.refresh_token)),
            "service-unavailable",
        )
        assert api.client.get("/healthz").status_code == 200
        readiness = api.client.get("/readyz")
        assert (readiness.status_code, readiness.get_json()["database"]) == (503, "unavailable")
    finally:
        core.close()


def test_pooled_connections_of_a_stopped_database_cause_no_server_error(
    server_class: type[DatabaseServer], valkey_url: str
) -> None:
    with server_class(innodb_flush_log_at_trx_commit=0) as server:
        uri = server.create_database("leaving")
        migrate(uri)
        with opened(settings_for(uri, valkey_url)) as harness:
            api = api_on(harness)
            person = api.person()
            harness.tick(70_000)
            data_of(api.order(person), 201)

            server.stop()

            for headers in ({}, {"Idempotency-Key": "key"}):
                problem_of(api.order(person, headers=headers), "service-unavailable")
            problem_of(api.get("/balance", person), "service-unavailable")


@contextmanager
def paused(server: DatabaseServer) -> Iterator[None]:
    """Pause the database in the block: connections are accepted, but nothing is answered."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def test_paused_database_is_waited_for_once(
    server_uri: str, database_server: DatabaseServer, valkey_url: str
) -> None:
    """No longer than the API's timeout, for any number of statements and retries."""
    with opened(settings_for(server_uri, valkey_url)) as harness:
        core = trading_core.build(harness.settings, database_timeout_s=1, clock=harness.clock)
        try:
            api = api_on(TradingHarness(core, harness.clock))
            person = api_on(harness).person()
            harness.tick(70_000)
            with paused(database_server):
                for headers in ({}, {"Idempotency-Key": "key"}):
                    problem_of(api.order(person, headers=headers), "service-unavailable")
                problem_of(api.get("/portfolio", person), "service-unavailable")
                problem_of(api.login(person.email), "service-unavailable")
                problem_of(api.register(), "service-unavailable")
                assert api.client.get("/healthz").status_code == 200
            wait_until(lambda: api.order(person).status_code == 201, what="an order is accepted")
        finally:
            core.close()
        assert harness.breaches() == []


def test_api_has_a_shorter_database_timeout_than_commands(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URI": f"sqlite:///{tmp_path}/x.db",
        "API_DATABASE_TIMEOUT_S": "4",
        "DATABASE_TIMEOUT_S": "44",
    }
    script = "print('patience', app.extensions['stocking'].database.patience_s)"
    for command, patience in (
        ([sys.executable, "-c", f"from wsgi import app; {script}"], "patience 4"),
        ([sys.executable, "-m", "flask", "--app", "wsgi", "shell"], "patience 44"),
    ):
        ended = subprocess.run(
            command,
            input=script,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        )
        assert patience in ended.stdout


def test_database_without_tables_is_not_ready(tmp_path: object, valkey_url: str) -> None:
    core = trading_core.build(settings_for(f"sqlite:///{tmp_path}/empty.db", valkey_url))
    try:
        answer = create_app(core).test_client().get("/readyz")
    finally:
        core.close()

    assert (answer.status_code, answer.get_json()) == (
        503,
        {"status": "unavailable", "database": "unavailable", "redis": "ok"},
    )
