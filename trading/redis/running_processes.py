"""Which processes run: each reports itself to Redis every few seconds while it works.

All times are those of the Redis server, so clocks of machines do not matter.
"""

import atexit
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis, RedisError

from trading.redis import keys
from trading.redis.client import connect

REPORT_PERIOD_S = 5.0
# A process that has not reported for this long does not respond.
SILENT_AFTER_S = 20
_KEPT_S = 86_400

_REPORT = """
local now = tonumber(redis.call('TIME')[1])
local member = ARGV[1] .. ' ' .. ARGV[2]
redis.call('ZADD', KEYS[1], now, member)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
return now
"""


@dataclass(frozen=True, slots=True, order=True)
class RunningProcess:
    """A process that responds: what it is, where it runs, and since when."""

    kind: str
    host: str
    pid: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes that respond, and by kind the last report of those that no longer do."""

    running: tuple[RunningProcess, ...]
    silent_since: Mapping[str, datetime]

    def is_running(self, kind: str) -> bool:
        return any(process.kind == kind for process in self.running)

    def running_since(self, kind: str) -> datetime | None:
        """Return the start of the oldest process of this kind that responds."""
        return min((one.started_at for one in self.running if one.kind == kind), default=None)


def read_processes(redis: Redis) -> Processes:
    """Return the processes that reported themselves. Raise RedisError without Redis."""
    seconds, _ = redis.time()
    now = int(seconds)
    running: list[RunningProcess] = []
    silent: dict[str, datetime] = {}
    members: Any = redis.zrange(keys.PROCESSES, 0, -1, withscores=True)
    for member, reported_at in members:
        try:
            kind, host, pid, started_at = member.split(" ")
            process = RunningProcess(kind, host, int(pid), _instant(int(started_at)))
        except ValueError:
            continue
        if now - reported_at <= SILENT_AFTER_S:
            running.append(process)
        else:
            silent[kind] = _instant(int(reported_at))
    return Processes(tuple(sorted(running)), silent)


class ProcessReporter:
    """Reports one process of a kind from a thread of its own, while ``works`` returns True."""

    def __init__(self, kind: str, redis_url: str, *, works: Callable[[], bool]) -> None:
        self._redis = connect(redis_url)
        self._name = f"{kind} {socket.gethostname().replace(' ', '_')} {os.getpid()}"
        self._works = works
        self._started_at: int | None = None
        self._stop = threading.Event()

    def run(self) -> None:
        while not self._stop.is_set():
            if self._works():
                self.report()
            self._stop.wait(REPORT_PERIOD_S)

    def report(self) -> None:
        """Report once. A fault of Redis is ignored: the process then counts as not responding."""
        try:
            if self._started_at is None:
                seconds, _ = self._redis.time()
                self._started_at = int(seconds)
            self._redis.eval(_REPORT, 1, keys.PROCESSES, self._name, self._started_at, _KEPT_S)
        except RedisError:
            return

    def remove(self) -> None:
        """Withdraw the report at an orderly end."""
        self._stop.set()
        if self._started_at is None:
            return
        try:
            self._redis.zrem(keys.PROCESSES, f"{self._name} {self._started_at}")
        except RedisError:
            return


def report_process(kind: str, redis_url: str, *, works: Callable[[], bool] = lambda: True) -> None:
    """Report this process until it ends; ``works`` is called before each report."""
    reporter = ProcessReporter(kind, redis_url, works=works)
    threading.Thread(target=reporter.run, name="process-report", daemon=True).start()
    atexit.register(reporter.remove)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
