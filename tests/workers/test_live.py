"""Orders with real workers, broker and database. ``tests/faults`` adds kills and lost messages."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Celery
from sqlalchemy import func, select

import celery_config
from launcher.ports import free_port
from tests.support.servers import wait_until
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import change_settings, deposit
from tests.webapp.client import Api, api_on, data_of
from tests.workers.processes import beat, worker
from trading import bootstrap as trading_core
from trading.account_events.stream import AccountStreams
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.marketdata.topics import trade_topic
from trading.orders.tables import ORDER_EXECUTIONS
from trading.redis import keys
from trading.tasks import Task
from webapp.http.request_context import HEADER


def _applied(api: Api) -> int:
    query = select(func.count()).where(ORDER_EXECUTIONS.c.applied_at.is_not(None))
    return api.harness.core.database.read(lambda session: session.scalar(query) or 0)


def _send(settings: Settings, task: str, *arguments: object) -> None:
    """Send a task message as our producers do."""
    producer = Celery("stocking", set_as_current=False)
    producer.conf.update(celery_config.producer(settings))
    with producer:
        producer.send_task(
            task,
            args=arguments,
            queue=celery_config.queue_of(task),
            retry=False,
            ignore_result=True,
        )


def _log_lines(output: str) -> list[dict[str, Any]]:
    """Return the complete lines; a running process may be writing its last one."""
    whole = (line for line in output.splitlines(keepends=True) if line.endswith("\n"))
    return [json.loads(line) for line in whole if line.startswith("{")]


def test_a_starting_worker_publishes_the_subscriptions(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """The relayer reads them from Redis without waiting for beat."""
    live_api.harness.tick(70_000)
    live_api.limit_order(live_api.person())
    wanted = keys.RELAYER_AUTOMATIC_SUBSCRIPTIONS

    with worker(tmp_path / "worker.log", live_settings):
        wait_until(lambda: live_api.harness.core.redis.exists(wanted), what="the message is logged")

    found = live_api.harness.core.redis.hgetall(wanted)
    assert found.pop(trade_topic(SAMSUNG)) == "open-orders"
    assert len(found) > 30
    assert set(found.values()) == {"market-value"}


def test_an_order_is_executed_settled_and_applied(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """Through three tasks; each logs its own id and that of the original request."""
    # Longer than a slow machine takes; otherwise a starting worker's sweep dispatches a stage
    # again.
    patient = {"wake_grace_ms": 600_000}
    change_settings(live_api.harness, **patient)
    live_api = api_on(live_api.harness)
    person = live_api.person()
    live_api.harness.tick(70_000)
    with worker(tmp_path / "worker.log", live_settings.model_copy(update=patient)) as process:
        placed = live_api.order(person, "BUY", 10, headers={HEADER: "the-request-1"})
        wait_until(lambda: _applied(live_api) == 1, what="the fill in the portfolio")
        wait_until(lambda: "update_portfolios" in process.output, what="the last task's log line")

    order = data_of(live_api.client.get(placed.headers["Location"], headers=person.headers))
    assert order["status"] == "FILLED"
    assert data_of(live_api.get(f"/portfolio/{SAMSUNG}", person))["quantity"] == 10
    assert data_of(live_api.get("/balance", person))["cash_balance"] == 10_000_000 - 700_105
    assert live_api.harness.breaches() == []
    stages = {"execute_orders", "settle_executions", "update_portfolios"}
    done = [
        line
        for line in _log_lines(process.output)
        if line["event"] == "task_done" and line["task"] in stages
    ]
    assert [line["task"] for line in done] == [
        "execute_orders",
        "settle_executions",
        "update_portfolios",
    ]
    assert [line["request_id"] for line in done] == ["the-request-1"] * 3
    assert len({UUID(line["task_id"]) for line in done}) == 3


def test_all_ids_of_a_large_batch_are_logged_by_each_stage(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """One task processes forty-five orders of other requests."""
    live_api.harness.tick(70_000)
    people = [live_api.person() for _ in range(3)]
    requests = [f"request-{number:02}" for number in range(45)]
    # This API dispatches nothing, so that all orders are in one task.
    core = trading_core.build(live_settings, deliver=lambda _requests: None)
    silent_api = api_on(TradingHarness(core, utc_now, []))
    placed = [
        (
            request,
            people[number % 3].id,
            silent_api.order(people[number % 3], "BUY", 1, headers={HEADER: request}),
        )
        for number, request in enumerate(requests)
    ]
    core.close()
    settings = live_settings.model_copy(update={"stage_batch_size": 100})
    with worker(tmp_path / "worker.log", settings) as process:
        ids = [data_of(answer, 201)["id"] for _request, _user_id, answer in placed]
        _send(settings, Task.EXECUTE_ORDERS, ids)
        wait_until(lambda: _applied(live_api) == 45, what="all fills in the portfolios")
        wait_until(lambda: '"applied": 45' in process.output, what="the last task's log lines")
        wait_until(lambda: process.output.count("ids_continued") >= 6, what="the lines behind them")

    stages = {"execute_orders", "settle_executions", "update_portfolios"}
    lines = _log_lines(process.output)
    for request, user_id, answer in placed:
        for one in (request, user_id, data_of(answer, 201)["id"]):
            found = {line["task"] for line in lines if f'"{one}"' in json.dumps(line)}
            assert stages <= found, (one, found)


def test_account_events_of_a_dead_process_are_published(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """The process ended right after COMMIT: beat's repair publishes them and logs it once."""
    user = live_api.harness.user()
    dying = trading_core.build(live_settings, publishing=lambda _publish: lambda _events: None)
    streams = AccountStreams(live_api.harness.core.redis)
    try:
        deposit(TradingHarness(dying, utc_now), user, 1)
    finally:
        dying.close()
    with (
        worker(tmp_path / "worker.log", live_settings) as process,
        beat(tmp_path / "beat.log", live_settings),
    ):
        wait_until(
            lambda: streams.last_ids([user]) == {user: 2},
            what="the event in the stream",
        )
        wait_until(
            lambda: "account_streams_repaired" in process.output, what="the repair's log line"
        )


def test_transient_failures_are_retried_and_others_are_not(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """A message without ids fails once.

    An unavailable market is retried, with one log line per attempt.
    """
    person = live_api.person()
    live_api.harness.tick(70_000)
    market = f"redis://127.0.0.1:{free_port()}/0"
    broker = live_settings.redis_url.get_secret_value()
    placed = live_api.order(person, "BUY", 1)
    elsewhere = {"REDIS_URL": market, "CELERY_BROKER_URL": broker}
    with worker(tmp_path / "worker.log", live_settings, **elsewhere) as process:

        def attempts(task: str, request_id: str | None) -> list[tuple[str, str | None]]:
            return [
                (line["event"], line.get("reason"))
                for line in _log_lines(process.output)
                if line["event"].startswith("task_")
                and (line["task"], line.get("request_id")) == (task, request_id)
            ]

        _send(live_settings, Task.SETTLE_EXECUTIONS, ["no-uuid"])
        wait_until(
            lambda: len(attempts("execute_orders", placed.headers[HEADER])) == 4,
            what="the last attempt",
        )

        away = "MarketUnavailable"
        tries = [
            ("task_retried", away),
            ("task_retried", away),
            ("task_retried", away),
            ("task_retries_exhausted", away),
        ]
        assert attempts("execute_orders", placed.headers[HEADER]) == tries
        assert attempts("settle_executions", None) == [("task_failed", None)]
    order = data_of(live_api.client.get(placed.headers["Location"], headers=person.headers))
    assert order["status"] == "PENDING"
    assert live_api.harness.breaches() == []
