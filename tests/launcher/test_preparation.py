"""Files of an earlier run must not make a health check pass."""

import os
from dataclasses import replace
from pathlib import Path

from launcher import plan
from launcher.health import checks_of
from launcher.ports import free_port
from launcher.setup import remove_beat_schedule
from tests.support.http_server import answer, serving


def test_old_schedule_file_does_not_pass_the_check_of_beat(tmp_path: Path) -> None:
    """Whatever its modification time: some builds of Python write the file minutes later."""
    start_plan = _plan(tmp_path)
    (beat,) = [check for check in checks_of(start_plan) if check.process == "beat"]
    for name in ("beat-schedule", "beat-schedule.db", "beat-schedule.dat"):
        (tmp_path / name).touch()

    remove_beat_schedule(start_plan)

    assert not beat.passes()
    (tmp_path / "beat-schedule.db").touch()
    assert beat.passes()


def test_front_door_gets_no_request_before_the_api_is_ready(tmp_path: Path) -> None:
    """It would log each error in a thousand characters on the terminal."""
    with (
        serving(lambda _: answer(200)) as front_door,
        serving(lambda request: answer(503 if request.target == "/readyz" else 200)) as api,
    ):
        start_plan = replace(_plan(tmp_path), api_url=front_door.url, gunicorn_url=api.url)
        checks = {check.process: check for check in checks_of(start_plan)}

        assert not checks["front_door"].passes()
        assert checks["relayer"].passes()
        assert front_door.requests == []

        api.reply = lambda _: answer(200)
        assert checks["front_door"].passes()
        assert [request.target for request in front_door.requests] == ["/healthz"]


def _plan(var: Path) -> plan.Plan:
    given = {
        **os.environ,
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    return plan.make_plan(given, var)
