"""The logs of the running product as an operator's collector reads them, and Flower as he does himself."""

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from launcher.ports import LOOPBACK
from tests.support.deadlines import DEADLINE_S
from tests.support.log_lines import HOSTILE, events, json_lines
from tests.support.servers import wait_until
from tests.system.stack import Stack, Trader, lived_in

PROCESSES = ("api", "worker-1", "worker-2", "beat", "relayer", "flower")
STAGES = ["execute_orders", "settle_executions", "update_portfolios"]


def found(house: Stack, text: str) -> list[dict[str, Any]]:
    """What ``grep`` finds in all logs, in the order of time."""
    lines = [line for name in PROCESSES for line in house.log(name).splitlines(keepends=True)]
    whole = [json.loads(line) for line in lines if text in line and line.endswith("\n")]
    return sorted(whole, key=lambda line: str(line["timestamp"]))


def tasks(house: Stack, **wanted: str) -> list[dict[str, Any]]:
    """Tasks as Flower knows them, those of one name."""
    url = f"http://{LOOPBACK}:{house.flower_port}/api/tasks"
    with suppress(requests.RequestException):
        answer = requests.get(url, params={"limit": "500", **wanted}, timeout=DEADLINE_S)
        return list(answer.json().values()) if answer.ok else []
    return []


def followed(house: Stack, trader: Trader) -> None:
    """An order is found from its acceptance to the portfolio by each of its ids."""
    answers: list[requests.Response] = []

    def accepted() -> bool:
        answers.append(trader.order("BUY", 3, **{"X-Request-ID": f"followed-it-{len(answers)}"}))
        return answers[-1].status_code == 201

    # On a machine that stalls a price may be too old for a moment.
    wait_until(accepted, what="an order is accepted")
    order_id = answers[-1].json()["data"]["id"]
    trader.wait_until_applied(order_id)
    wait_until(
        lambda: "update_portfolios" in str(found(house, order_id)), what="the last stage's line"
    )
    for one in (answers[-1].headers["X-Request-ID"], order_id):
        lines = found(house, one)
        assert lines[0]["event"] == "order_accepted"
        assert [line["task"] for line in lines if line["event"] == "task_done"] == STAGES


def shown_by_flower(house: Stack) -> None:
    """How many ids a message carries and the first, and the figures of what was done."""
    for task, row, result in zip(
        STAGES, ("order", "execution", "execution"), ("filled", "settled", "applied"), strict=True
    ):
        wait_until(
            lambda task=task, result=result: any(
                result in str(one["result"]) for one in tasks(house, taskname=task)
            ),
            what=f"Flower knows of {task}",
        )
        (shown,) = [one for one in tasks(house, taskname=task) if one["result"]]
        assert shown["args"].startswith(f"1 {row}: ")
        assert len(shown["args"]) == len(f"1 {row}: ") + 36
        assert shown["result"] == f"{{'{result}': 1}}"
        assert shown["name"] == task
    wait_until(
        lambda: tasks(house, taskname="match_limit_orders"),
        what="Flower knows of a look",
    )
    assert {one["args"] for one in tasks(house, taskname="match_limit_orders")} == {"shard 0"}


def crashed(house: Stack) -> None:
    """A child of a worker is killed, and somebody who is no browser talks to the API."""
    for child in house.children("worker-1"):
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: "signal 9" in house.log("worker-1"), what="the worker tells of it")
    port = int(house.api_url.rpartition(":")[2])
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE_S) as peer:
        peer.sendall(f"GET /{HOSTILE} HTTP/1.1\r\nX: {HOSTILE}\r\n\r\n".encode(errors="replace"))
        assert b"400" in peer.recv(100)
    with socket.create_connection((LOOPBACK, port), timeout=DEADLINE_S) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Basic c2VjcmV0\r\n\r\n")
        assert b"400" in peer.recv(100)
    invalid, without_colon = (
        line for line in json_lines(house.log("api")) if line["event"].startswith("Invalid request")
    )
    assert without_colon["event"] == "Invalid request from ip=127.0.0.1: Invalid HTTP Header"
    assert not {"request_id", "user_id", "order_id"} & set(invalid), (
        "the thread's last request was not this one"
    )


def test_every_line_of_every_process_is_one_and_leads_from_an_order_to_its_end(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    """From the first line to the last, through a crash and a stop: JSON with the same fields, by which an order is followed; and Flower agrees."""
    environment = {"LOG_FORMAT": "json", "FLOWER_UNAUTHENTICATED_API": "1"}
    with lived_in(migrated_sqlite, tmp_path, flower=True, settings=environment) as (house, _):
        wait_until(lambda: tasks(house), what="Flower knows the workers' tasks")
        trader = house.trader("followed")
        followed(house, trader)
        shown_by_flower(house)
        crashed(house)
        for name in PROCESSES:
            house.kill(name, signal.SIGTERM)

        for name in PROCESSES:
            lines = json_lines(house.log(name))
            assert lines, name
            for line in lines:
                assert {"timestamp", "level", "event", "logger", "pid"} <= set(line), line
        assert "forged" not in events(house.log("api"), "json")
        assert "Starting gunicorn" in house.log("api")
        assert {"worker_starting", "worker_stopping"} <= {
            line["event"] for line in json_lines(house.log("worker-2"))
        }
