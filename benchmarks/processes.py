"""Processes of the product on a benchmark's own servers, ended by their pid."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launcher.parent_death_signal import with_parent_death_signal
from launcher.plan import ROOT
from trading.config.settings import Settings

PATIENCE_S = 60.0

# A few users send requests as fast as they can: all are counted and none is refused.
UNLIMITED = {
    f"rate_limit_{name}": "999999 per second"
    for name in ("orders", "writes", "reads", "strangers", "registration")
}
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05


@contextmanager
def running(
    module: Sequence[str], settings: Settings, log: Path, **more: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `python -m …` with these settings and `more` in its environment, and append its output to
    the log.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            with_parent_death_signal([sys.executable, "-m", *module]),
            cwd=ROOT,
            env=os.environ | _environment(settings) | more,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(
    condition: Callable[[], bool], what: str, process: "subprocess.Popen[bytes]", log: Path
) -> None:
    """Wait for the condition. Exit with the log if the process ends or after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Waited in vain for {what}:\n{log.read_text(errors='replace')}")
        time.sleep(_POLL_S)


def cpu_s(*pids: int) -> float:
    """Return the processor time (s) that these processes have used, in user and kernel mode."""
    # Fields 14 and 15 of proc(5), counted after the program's name, which may contain spaces.
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in stats) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process (MiB)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URI": settings.database_uri.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "JWT_SECRET_KEY": settings.jwt_secret,
        "MARKET_HOURS": settings.hours_rule,
        "TICK_FRESHNESS_MS": str(settings.tick_freshness_ms),
        "MATCH_PERIOD_MS": str(settings.match_period_ms),
        "LOG_FORMAT": settings.log_format,
        "LOG_LEVEL": settings.log_level,
        **{name.upper(): getattr(settings, name) for name in UNLIMITED},
    }
