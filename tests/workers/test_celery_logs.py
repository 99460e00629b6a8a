"""What Celery says by itself, and what of it is kept: by a process that has loaded the workers."""

import json
import subprocess
import sys
from typing import Any

from launcher.plan import ROOT
from tests.support.trading_harness import settings_for
from tests.workers.processes import environment_of

# Celery's own calls, with its own words.
_CHATTER = """
import logging
from celery.app import trace
from celery.worker import strategy
from workers import app
app.log.setup(loglevel="INFO")
told = {"name": "execute_orders", "id": "1", "runtime": 1, "return_value": {}, "exc": "!", "description": "INTERNAL ERROR"}
trace.info(trace.LOG_RECEIVED, told)
trace.info(trace.LOG_SUCCESS, told)
trace.info(trace.LOG_RETRY, told)
trace.logger.error(trace.LOG_FAILURE, told)
trace.logger.critical(trace.LOG_INTERNAL_ERROR, told)
strategy.logger.info(trace.LOG_RECEIVED, told)
logging.getLogger("celery.beat").info("Scheduler: Sending due task %s (%s)", "a", "b")
logging.getLogger("celery.beat").warning("beat: could not send")
logging.getLogger("celery.worker.request").error("Hard time limit (%ss) exceeded for %s[%s]", 45, "a", "b")
from billiard.util import get_logger
get_logger().error("Pool process %r error: %r", "one", "x")
get_logger().info("child process calling self.run()")
print("a banner")
"""


def _run(program: str, **environment: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of the log, and what was printed."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment_of(
            settings_for("sqlite:///unused.db", "redis://127.0.0.1:1/0"), **environment
        ),
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in ran.stderr.splitlines()], ran.stdout


def test_what_ours_tell_is_not_told_twice_and_nothing_else_is_dropped() -> None:
    """That a message was sent, received and done, and that a task failed, is in our own lines; faults of Celery's own are told by it alone."""
    lines, printed = _run(_CHATTER)

    assert [line["event"] for line in lines] == [
        "Task execute_orders[1] INTERNAL ERROR: !",
        "beat: could not send",
        "Hard time limit (45s) exceeded for a[b]",
        "Pool process 'one' error: 'x'",
    ]
    assert printed == ""


def test_a_banner_is_for_people() -> None:
    """Where JSON was not asked for, Celery's own words may stand beside the log."""
    program = "from workers import app\napp.log.setup(loglevel='INFO')\nprint('a banner')"

    assert _run(program, LOG_FORMAT="console") == ([], "a banner\n")


def test_a_workers_faulty_settings_end_it_with_one_line() -> None:
    """Also this line is JSON, and no value is shown."""
    ran = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker"],
        cwd=ROOT,
        env={
            "LOG_FORMAT": "json",
            "STARTING_CASH": "much",
            "DATABASE_URI": "postgres://me:secret@host/x",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 2
    (line,) = map(json.loads, ran.stderr.splitlines())
    assert line["event"] == "settings_invalid"
    assert [fault.partition(":")[0] for fault in line["faults"]] == [
        "DATABASE_URI",
        "STARTING_CASH",
    ]
    assert "secret" not in ran.stderr
