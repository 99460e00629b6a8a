"""Preparation before the first process: the bundled Redis, migrations and seed data."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import valkey
from launcher.errors import LaunchError
from launcher.log_files import begin_log
from launcher.parent_death_signal import with_parent_death_signal
from launcher.plan import ROOT, Plan

TAIL_LINES = 20
_POLL_S = 0.02


@contextlib.contextmanager
def bundled_redis(plan: Plan) -> Iterator[None]:
    """Run Valkey under a supervisor during the block; do nothing if `REDIS_URL` is given.

    It starts before all other processes and stops after them. Raise LaunchError if it does not
    answer within 20 s.
    """
    if plan.valkey_port is None:
        yield
        return
    folder, log = plan.var / "valkey", plan.logs / "valkey.log"
    folder.mkdir(exist_ok=True)
    command = valkey.server_command(plan.valkey_port, folder, durable=True)
    begin_log(log).close()
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "launcher.supervisor", "--", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # The launcher handles Ctrl-C, not this process.
        )
    try:
        deadline = time.monotonic() + valkey.START_TIMEOUT_S
        while not valkey.answers(plan.valkey_port):
            if supervisor.poll() is not None or time.monotonic() > deadline:
                raise LaunchError(
                    f"The bundled Valkey did not start. The end of {log}:\n{tail(log)}"
                )
            time.sleep(_POLL_S)
        yield
    finally:
        supervisor.terminate()
        supervisor.wait()


def prepare_database(plan: Plan) -> None:
    """Migrate the database and import the seed's stocks. Raise LaunchError with the log's end."""
    log = plan.logs / "setup.log"
    begin_log(log).close()
    with log.open("wb") as output:
        done = flask(plan, "db", "upgrade", "--", "seed", output=output.fileno())
    if done != 0:
        raise LaunchError(f"The database could not be migrated. The end of {log}:\n{tail(log)}")


def beat_schedules(var: Path) -> list[Path]:
    """Return beat's schedule files. Their names depend on how this Python was built."""
    return list(var.glob("beat-schedule*"))


def remove_beat_schedule(plan: Plan) -> None:
    """Remove the schedule files of an earlier beat, so that new ones show that beat is up.

    All periods are short, so nothing is lost. The modification time of an old file would not do:
    some builds of Python write it minutes later.
    """
    for file in beat_schedules(plan.var):
        file.unlink()


def flask(plan: Plan, *arguments: str, output: int | None = None) -> int:
    """Run `flask` commands separated by `--`, with output to a descriptor or the terminal.

    Return the exit status.
    """
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
    """Return the last lines of a log, indented, or "(empty)"."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
    return "\n".join(f"  {line}" for line in lines) or "  (empty)"
