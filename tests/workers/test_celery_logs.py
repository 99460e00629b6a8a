"""Celery's own log lines, and which of them are kept."""

import json
import subprocess
import sys
from typing import Any

from launcher.plan import ROOT
from tests.support.trading_harness import settings_for
from tests.workers.processes import environment_of

# Celery's own calls with its own texts.
_CHATTER = """
import logging
from celery.app import trace
from celery.worker import strategy
from workers import app
app.log.setup(loglevel="INFO")
facts = {"name": "execute_orders", "id": "1", "runtime": 1, "return_value": {}, "exc": "!"}
facts["description"] = "INTERNAL ERROR"
trace.info(trace.LOG_RECEIVED, facts)
trace.info(trace.LOG_SUCCESS, facts)
trace.info(trace.LOG_RETRY, facts)
trace.logger.error(trace.LOG_FAILURE, facts)
trace.logger.critical(trace.LOG_INTERNAL_ERROR, facts)
strategy.logger.info(trace.LOG_RECEIVED, facts)
logging.getLogger("celery.beat").info("Scheduler: Sending due task %s (%s)", "a", "b")
logging.getLogger("celery.beat").warning("beat: could not send")
request_log = logging.getLogger("celery.worker.request")
request_log.error("Hard time limit (%ss) exceeded for %s[%s]", 45, "a", "b")
from billiard.util import get_logger
get_logger().error("Pool process %r error: %r", "one", "x")
get_logger().info("child process calling self.run()")
print("a banner")
"""


def _run(program: str, **environment: str) -> tuple[list[dict[str, Any]], str]:
    """Return the log lines and the printed output."""
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


def test_only_duplicate_celery_lines_are_dropped() -> None:
    """Those about sent, received, done and failed tasks; Celery's own failures are kept."""
    lines, printed = _run(_CHATTER)

    assert [line["event"] for line in lines] == [
        "Task execute_orders[1] INTERNAL ERROR: !",
        "beat: could not send",
        "Hard time limit (45s) exceeded for a[b]",
        "Pool process 'one' error: 'x'",
    ]
    assert printed == ""


def test_the_banner_is_printed_in_text_mode() -> None:
    program = "from workers import app\napp.log.setup(loglevel='INFO')\nprint('a banner')"

    assert _run(program, LOG_FORMAT="console") == ([], "a banner\n")


def test_invalid_settings_end_a_worker_with_one_line() -> None:
    """The line is JSON and shows no value."""
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
