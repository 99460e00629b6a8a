"""Workers and beat report themselves; frozen and ended ones do not."""

import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.cli import FlaskGroup

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from tests.webapp.client import Api, data_of
from tests.workers.processes import CeleryProcess, beat, worker
from trading.config.settings import Settings
from trading.redis.running_processes import Processes, read_processes


def processes(api: Api) -> Processes:
    return read_processes(api.harness.core.redis)


def is_running(api: Api, process: CeleryProcess, kind: str) -> bool:
    return any((one.kind, one.pid) == (kind, process.pid) for one in processes(api).running)


def send_to_all(process: CeleryProcess, number: signal.Signals) -> None:
    for pid in (process.pid, *process.children):
        os.kill(pid, number)


def test_process_reports_itself_until_it_stops(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    for kind, process in (
        ("worker", worker(tmp_path / "worker.log", live_settings)),
        ("beat", beat(tmp_path / "beat.log", live_settings)),
    ):
        with process:
            wait_until(lambda k=kind, p=process: is_running(live_api, p, k), what=f"the {kind}")
        assert not processes(live_api).is_running(kind)
        assert kind not in processes(live_api).silent_since


@pytest.mark.full
def test_frozen_workers_are_reported_by_status_and_explain(
    live_api: Api, live_settings: Settings, tmp_path: Path
) -> None:
    """With the time since when; both return to normal with the workers."""
    person = live_api.person()
    live_api.harness.tick(70_000)

    def status() -> str:
        group = FlaskGroup(create_app=lambda: live_api.app)
        return CliRunner().invoke(group, ["status"]).stdout

    def explanation() -> str:
        order = placed["data"]["id"]
        waiting = data_of(live_api.get(f"/trading/orders/{order}/explain", person))["waiting"]
        return "" if waiting is None else str(waiting["reasons"][0]["code"])

    with worker(tmp_path / "worker.log", live_settings) as process:
        wait_until(lambda: is_running(live_api, process, "worker"), what="the worker's report")
        send_to_all(process, signal.SIGSTOP)
        try:
            placed = live_api.order(person, "BUY", 10).get_json()
            wait_until(
                lambda: "CRITICAL OrdersOverdue: Work in stage execute" in status(),
                what="the overdue order in the status",
                deadline_s=2 * DEADLINE_S,
            )
            assert explanation() == "processing-delayed"
            assert "CRITICAL ProcessMissing: No worker has responded since " in status()
            assert "+09:00" in status()
            assert processes(live_api).silent_since["worker"] < datetime.now(UTC)
        finally:
            send_to_all(process, signal.SIGCONT)
        wait_until(lambda: explanation() == "", what="the order is filled")
        wait_until(lambda: is_running(live_api, process, "worker"), what="the worker reports again")
        assert "No worker" not in status()
