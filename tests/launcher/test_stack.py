"""An ordinary stop waits for every process."""

import subprocess
import sys
from pathlib import Path

import pytest

from launcher import plan
from tests.support.deadlines import DEADLINE_S

# One process ends at once, and honcho would kill the other one 5 s later.
STOP = """
import dataclasses, os, pathlib, sys, time
from launcher.plan import make_plan
from launcher.stack import Stack

folder = pathlib.Path(sys.argv[1])
slow = "trap 'sleep 7; touch ended; exit 0' TERM; touch ready; while :; do sleep 0.1; done"
commands = {"quick": "exec sleep 600", "slow": f"cd '{folder}'; {slow}"}

def stop(stack):
    while not (folder / "ready").exists():
        time.sleep(0.02)
    stack.terminate()

start_plan = dataclasses.replace(make_plan(os.environ, folder), commands=commands)
Stack(start_plan, echo=False, when_started=stop).loop()
"""


@pytest.mark.full
def test_stop_waits_for_a_slow_process_after_others_have_ended(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", STOP, str(tmp_path)], cwd=plan.ROOT, check=True, timeout=DEADLINE_S
    )
    assert (tmp_path / "ended").exists()
