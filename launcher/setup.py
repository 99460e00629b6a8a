"""What stands before the first process: the bundled Redis, and a database with its tables and its stocks."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import valkey
from launcher.errors import LaunchError
from launcher.parent_death_signal import with_parent_death_signal
from launcher.plan import ROOT, Plan

TAIL_LINES = 20
_POLL_S = 0.02


@contextlib.contextmanager
def bundled_redis(plan: Plan) -> Iterator[None]:
    """Valkey under a keeper while the block runs, so that it is there first and gone last. Nothing when Redis is given.

    LaunchError when it does not answer within 20 s.
    """
    if plan.valkey_port is None:
        yield
        return
    folder, log = plan.var / "valkey", plan.logs / "valkey.log"
    folder.mkdir(exist_ok=True)
    command = valkey.server_command(plan.valkey_port, folder, durable=True)
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "launcher.supervisor", "--", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # A Ctrl-C in the terminal is the launcher's to handle.
        )
    try:
        deadline = time.monotonic() + valkey.START_TIMEOUT_S
        while not valkey.answers(plan.valkey_port):
            if keeper.poll() is not None or time.monotonic() > deadline:
                raise LaunchError(
                    f"The bundled Valkey did not start. The end of {log}:\n{tail(log)}"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        keeper.terminate()
        keeper.wait()


def prepare_database(plan: Plan) -> None:
    """Bring the tables up to date and put in the stocks that come with the product. LaunchError with the log's end."""
    log = plan.logs / "setup.log"
    with log.open("wb") as output:
        done = flask(plan, "db", "upgrade", "--", "seed", output=output.fileno())
    if done != 0:
        raise LaunchError(
            f"The database could not be brought up to date. The end of {log}:\n{tail(log)}"
        )


def beat_schedules(var: Path) -> list[Path]:
    """The files of beat's schedule; which ones there are depends on how this Python was built."""
    return list(var.glob("beat-schedule*"))


def forget_beat_schedule(plan: Plan) -> None:
    """Remove what an earlier beat left. Every period is short, so it is of no use; and beat, which has no address to ask, is then known to be up
    by the file that it makes. The time of an old file would not tell: some builds of Python write it minutes later.
    """
    for file in beat_schedules(plan.var):
        file.unlink()


def flask(plan: Plan, *arguments: str, output: int | None = None) -> int:
    """Run the application's own commands, separated by ``--``; the exit status. ``output`` is a descriptor, or the terminal."""
    command = with_parent_death_signal(
        [sys.executable, "-m", "launcher.flask_commands", *arguments]
    )
    return subprocess.run(
        command,
        cwd=ROOT,
        env=plan.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        check=False,
    ).returncode


def tail(log: Path) -> str:
    """The last lines of a log, indented; a word when there are none."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
    return "\n".join(f"  {line}" for line in lines) or "  (it is empty)"
