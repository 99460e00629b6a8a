"""Celery's settings, and what a worker process loads."""

import os
import subprocess
import sys
from typing import Any

import pytest
from kombu import Queue

import celery_config
from launcher.plan import ROOT
from tests.support.trading_harness import settings_for
from trading.config.settings import Settings
from trading.payments.portone.transport import PortoneTimeouts
from trading.tasks import SINGLE_ID_TASKS, Task

SETTINGS = settings_for("sqlite:///nowhere.db", "redis://127.0.0.1:1/0", sweep_period_s=5)
WORKER = celery_config.worker(SETTINGS)
PRODUCER = celery_config.producer(SETTINGS)


def queues_of(config: dict[str, Any]) -> set[str]:
    """Return the names of the queues, each with an exchange and a routing key of its name."""
    queues: list[Queue] = config["task_queues"]
    assert all(queue.exchange.name == queue.routing_key == queue.name for queue in queues)
    return {queue.name for queue in queues}


def test_every_task_has_a_queue_and_every_stage_its_own() -> None:
    """A long queue shows which stage is behind, and a worker can serve one stage."""
    assert set(celery_config.QUEUES) == set(Task)
    stages = [
        celery_config.QUEUES[task]
        for task in (Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS)
    ]
    assert len({*stages, celery_config.QUEUES[Task.SWEEP_DUE_WORK]}) == 4
    for task, queue in celery_config.QUEUES.items():
        assert celery_config.queue_of(task) == queue
        assert WORKER["task_routes"][str(task)] == {"queue": queue}
        assert queue in queues_of(WORKER)


def test_an_unknown_task_has_no_queue() -> None:
    """A misspelt name fails where it is sent instead of waiting in an unread queue."""
    with pytest.raises(ValueError, match="execute_order"):
        celery_config.queue_of("execute_order")


def test_a_task_runs_again_if_its_process_dies() -> None:
    """Late acknowledgement and redelivery, one message at a time."""
    assert WORKER["task_acks_late"]
    assert WORKER["task_reject_on_worker_lost"]
    assert WORKER["worker_prefetch_multiplier"] == 1
    assert WORKER["task_ignore_result"]


def test_time_limits_are_consistent() -> None:
    """Soft before hard, a shutdown outlasts a task, and no running task is delivered again."""
    soft, hard = WORKER["task_soft_time_limit"], WORKER["task_time_limit"]
    assert soft < hard
    assert WORKER["worker_soft_shutdown_timeout"] > soft
    assert WORKER["broker_transport_options"]["visibility_timeout"] > 10 * hard
    assert (
        WORKER["broker_transport_options"]["visibility_timeout"]
        > 2 * celery_config.PAYMENT_SOFT_TIME_LIMIT_S
    )
    patience = PortoneTimeouts()
    assert 2 * (patience.connect_s + patience.total_s) < celery_config.PAYMENT_SOFT_TIME_LIMIT_S


@pytest.mark.parametrize("side", [WORKER, PRODUCER], ids=["worker", "producer"])
def test_only_json_is_accepted(side: dict[str, object]) -> None:
    """A message cannot carry code."""
    assert side["task_serializer"] == "json"
    assert side["accept_content"] == ["json"]
    assert side["broker_url"] == SETTINGS.redis_url.get_secret_value()


def test_network_waits_are_bounded() -> None:
    """A producer gives up after one attempt of half a second; a worker detects lost packets."""
    options = PRODUCER["broker_transport_options"]
    assert max(options["socket_timeout"], options["socket_connect_timeout"]) <= 0.5
    assert options["max_retries"] == 0
    assert WORKER["broker_transport_options"]["socket_timeout"]
    assert WORKER["broker_transport_options"]["health_check_interval"]


def test_periodic_tasks_expire_before_the_next_is_sent() -> None:
    """A pause causes no burst of late messages. Every periodic task is scheduled on its queue."""
    schedule = WORKER["beat_schedule"]
    stages = {Task.EXECUTE_ORDERS, Task.SETTLE_EXECUTIONS, Task.UPDATE_PORTFOLIOS}
    assert {one["task"] for one in schedule.values()} == set(Task) - stages - SINGLE_ID_TASKS
    for entry in schedule.values():
        assert 0 < entry["options"]["expires"] < max(entry["schedule"], 2.5)
        assert entry["options"]["queue"] == celery_config.QUEUES[Task(entry["task"])]


def test_each_matcher_shard_has_its_own_queue_and_schedule() -> None:
    """With three shards beat sends three tasks, and a default worker consumes all their queues."""
    config = celery_config.worker(Settings(matcher_shards=3))
    turns = [
        one for one in config["beat_schedule"].values() if one["task"] == Task.MATCH_LIMIT_ORDERS
    ]
    queues = ["orders.match.0", "orders.match.1", "orders.match.2"]
    assert [one["args"] for one in turns] == [(0,), (1,), (2,)]
    assert [one["options"]["queue"] for one in turns] == queues
    assert set(queues) <= queues_of(config)


def test_a_worker_loads_no_web_framework() -> None:
    program = (
        "import sys, workers, workers.orders, workers.maintenance\n"
        "unwanted = {'flask', 'flask_smorest', 'werkzeug', 'webapp', 'relayer', 'sandbox'}\n"
        "loaded = unwanted & set(sys.modules)\n"
        "sys.exit(str(sorted(loaded)) if loaded else 0)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://h:1/0?ssl_cert_reqs=required", "redis+socket:///tmp/x"]
)
def test_workers_use_the_custom_transport_for_any_redis_url(url: str) -> None:
    """The URL is unchanged for Flower and logs, and encrypted if it says so."""
    program = (
        "from workers import app; connection = app.connection_for_read(); "
        "print(connection.transport_cls, connection.get_transport_cls().__module__,"
        " bool(connection.ssl), connection.as_uri())"
    )
    environment = {**os.environ, "CELERY_BROKER_URL": url}

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    name, module, encrypted, address = ran.stdout.split()
    assert (module, encrypted) == ("workers.transport", str(url.startswith("rediss")))
    assert address.startswith(f"{url.partition(':')[0]}://")
    assert name in ("redis", "rediss")


def test_registered_tasks_match_the_task_names() -> None:
    program = (
        "from workers import app\n"
        "app.loader.import_default_modules()\n"
        "print(*sorted(name for name in app.tasks if not name.startswith('celery.')))"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == sorted(Task)
