"""Logs of the running product as a log collector reads them, and its tasks in Flower."""

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from celery_config import QUEUES
from launcher.ports import LOOPBACK
from tests.support.deadlines import DEADLINE_S
from tests.support.log_lines import HOSTILE, events, json_lines
from tests.support.servers import wait_until
from tests.system.stack import Stack, Trader, running_stack

PROCESSES = ("api", "worker-1", "worker-2", "beat", "relayer", "flower")
STAGES = ["execute_orders", "settle_executions", "update_portfolios"]


def log_lines_with(stack: Stack, text: str) -> list[dict[str, Any]]:
    """Return the lines of all logs that contain `text`, in order of time."""
    lines = [line for name in PROCESSES for line in stack.log(name).splitlines(keepends=True)]
    whole = [json.loads(line) for line in lines if text in line and line.endswith("\n")]
    return sorted(whole, key=lambda line: str(line["timestamp"]))


def tasks(stack: Stack, **wanted: str) -> list[dict[str, Any]]:
    """Return the tasks that Flower lists, filtered by its query parameters."""
    url = f"http://{LOOPBACK}:{stack.flower_port}/api/tasks"
    with suppress(requests.RequestException):
        answer = requests.get(url, params={"limit": "500", **wanted}, timeout=DEADLINE_S)
        return list(answer.json().values()) if answer.ok else []
    return []


def check_order_is_traceable(stack: Stack, trader: Trader) -> None:
    """Check that each id of an order finds its log lines from acceptance to the holdings."""
    answers: list[requests.Response] = []

    def accepted() -> bool:
        answers.append(trader.order("BUY", 3, **{"X-Request-ID": f"followed-it-{len(answers)}"}))
        return answers[-1].status_code == 201

    # On a machine that stalls, a price may be stale for a moment.
    wait_until(accepted, what="an order is accepted")
    order_id = answers[-1].json()["data"]["id"]
    trader.wait_until_applied(order_id)
    wait_until(
        lambda: "update_portfolios" in str(log_lines_with(stack, order_id)),
        what="the last stage's line",
    )
    for one in (answers[-1].headers["X-Request-ID"], order_id):
        lines = log_lines_with(stack, one)
        assert lines[0]["event"] == "order_accepted"
        assert [line["task"] for line in lines if line["event"] == "task_done"] == STAGES


def check_flower(stack: Stack) -> None:
    """Check that Flower shows the number of ids, the first id and the result of each task, and of
    periodic tasks only those that found something. Its broker page lists the queues.
    """
    for task, row, result in zip(
        STAGES, ("order", "execution", "execution"), ("filled", "settled", "applied"), strict=True
    ):
        wait_until(
            lambda task=task, result=result: any(
                result in str(one["result"]) for one in tasks(stack, taskname=task)
            ),
            what=f"Flower lists {task}",
        )
        (entry,) = [one for one in tasks(stack, taskname=task) if one["result"]]
        assert entry["args"].startswith(f"1 {row}: ")
        assert len(entry["args"]) == len(f"1 {row}: ") + 36
        assert entry["result"] == f"{{'{result}': 1}}"
        assert entry["name"] == task
    wait_until(
        lambda: tasks(stack, taskname="refresh_subscriptions"),
        what="Flower lists a periodic task that changed something",
    )
    for one in tasks(stack, taskname="match_limit_orders"):
        assert one["args"] == "shard 0"
    for one in tasks(stack):
        assert one["state"] != "SUCCESS" or one["name"] in STAGES or one["result"] != "None", one
    page = requests.get(f"http://{LOOPBACK}:{stack.flower_port}/broker", timeout=DEADLINE_S).text
    assert {queue for queue in QUEUES.values() if f">{queue}<" in page} == set(QUEUES.values())


def crash_worker_and_send_garbage(stack: Stack) -> None:
    """Kill a child of a worker, and send invalid requests to the API."""
    for child in stack.children("worker-1"):
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: "signal 9" in stack.log("worker-1"), what="the worker logs the crash")
    port = int(stack.api_url.rpartition(":")[2])
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE_S) as peer:
        peer.sendall(f"GET /{HOSTILE} HTTP/1.1\r\nX: {HOSTILE}\r\n\r\n".encode(errors="replace"))
        assert b"400" in peer.recv(100)
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE_S) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Basic c2VjcmV0\r\n\r\n")
        assert b"400" in peer.recv(100)
    invalid, without_colon = (
        line for line in json_lines(stack.log("api")) if line["event"].startswith("Invalid request")
    )
    assert without_colon["event"] == "Invalid request from ip=127.0.0.1: Invalid HTTP Header"
    assert not {"request_id", "user_id", "order_id"} & set(invalid), (
        "the thread's last request was not this one"
    )


def test_every_log_line_is_json_and_traces_orders(migrated_sqlite: str, tmp_path: Path) -> None:
    """All lines have the same fields, from start through a crash to the stop, and Flower shows the
    same tasks.
    """
    environment = {"LOG_FORMAT": "json", "FLOWER_UNAUTHENTICATED_API": "1"}
    with running_stack(migrated_sqlite, tmp_path, flower=True, settings=environment) as (stack, _):
        wait_until(lambda: tasks(stack), what="Flower lists the first subscriptions")
        trader = stack.trader("followed")
        check_order_is_traceable(stack, trader)
        check_flower(stack)
        crash_worker_and_send_garbage(stack)
        for name in PROCESSES:
            stack.kill(name, signal.SIGTERM)

        for name in PROCESSES:
            lines = json_lines(stack.log(name))
            assert lines, name
            for line in lines:
                assert {"timestamp", "level", "event", "logger", "pid"} <= set(line), line
        assert "forged" not in events(stack.log("api"), "json")
        assert "Starting gunicorn" in stack.log("api")
        assert {"worker_starting", "worker_stopping"} <= {
            line["event"] for line in json_lines(stack.log("worker-2"))
        }
