"""Metrics of gunicorn's workers only grow when workers are killed, recycled or reloaded."""

import contextlib
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import requests

from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import start_gunicorn, wait_until

ASKED_AT_ONCE = 10


class GunicornServer:
    """gunicorn. `answered` counts responses; a request that was cut off may or may not have been
    counted.
    """

    def __init__(
        self, database_uri: str, redis_url: str, *, workers: int = 2, max_requests: int = 0
    ) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.answered = 0
        self.cut_off = 0
        self._workers = workers
        self.process = start_gunicorn(
            port,
            database_uri=database_uri,
            redis_url=redis_url,
            WORKERS=str(workers),
            THREADS="2",
            GUNICORN_CMD_ARGS=f"--max-requests={max_requests} --max-requests-jitter=0",
        )

    @property
    def children(self) -> list[int]:
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def ask(self) -> bool:
        """Send a request on a new connection, so that any worker may take it."""
        try:
            answer = requests.get(f"{self.url}/healthz", timeout=DEADLINE_S)
        except requests.RequestException as fault:
            # Refused means that nobody listens yet; any other failure may have cut off a request.
            self.cut_off += "refused" not in str(fault)
            return False
        self.answered += 1
        return answer.status_code == 200

    def ask_many(self) -> None:
        for _ in range(ASKED_AT_ONCE):
            wait_until(self.ask, what="an answer")

    def exposition(self) -> str:
        return requests.get(f"{self.url}/metrics", timeout=DEADLINE_S).text

    def counted(self) -> float:
        """Return the number of answered requests over all workers."""
        (line,) = re.findall(
            r'^\S+_count{method="GET",rule="/healthz",status="200"} (\S+)$',
            self.exposition(),
            re.MULTILINE,
        )
        return float(line)

    def in_flight(self) -> float:
        return float(
            re.findall(
                r'^stocking_http_requests_in_flight{method="GET"} (\S+)$',
                self.exposition(),
                re.MULTILINE,
            )[0]
        )

    def files(self) -> set[Path]:
        """Return the metric files of living workers."""
        maps = ""
        for child in self.children:
            with contextlib.suppress(OSError):  # The worker has just ended.
                maps += Path(f"/proc/{child}/maps").read_text()
        return {Path(path) for path in re.findall(r"\S+/stocking-metrics-\S+\.db", maps)}

    def is_whole(self) -> bool:
        """Return True if all workers run and each counts."""
        return len(self.children) == self._workers and len(slots(self.files())) == self._workers


def slots(files: Iterable[Path]) -> set[str]:
    return {file.stem.rpartition("_")[2] for file in files}


@pytest.fixture
def gunicorn_server(
    migrated_sqlite: str, valkey_url: str, request: pytest.FixtureRequest
) -> Iterator[GunicornServer]:
    server = GunicornServer(migrated_sqlite, valkey_url, **getattr(request, "param", {}))
    try:
        wait_until(server.ask, what="gunicorn is up")
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def all_is_counted(server: GunicornServer) -> None:
    def is_counted() -> bool:
        return server.answered <= server.counted() <= server.answered + server.cut_off

    # The exposition is cached for a second.
    wait_until(is_counted, what=f"{server.answered} requests are counted")


def test_killed_and_reloaded_workers_lose_no_count(gunicorn_server: GunicornServer) -> None:
    """Every response is counted once, in few files."""
    gunicorn_server.ask_many()
    wait_until(gunicorn_server.is_whole, what="both workers")
    all_is_counted(gunicorn_server)
    folder = next(iter(gunicorn_server.files())).parent
    killed = gunicorn_server.children

    for victim in killed:
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not set(killed) & set(gunicorn_server.children), what="the end of both")
    wait_until(gunicorn_server.is_whole, what="two others")
    gunicorn_server.ask_many()
    all_is_counted(gunicorn_server)
    assert slots(folder.iterdir()) == {"0", "1"}

    old = gunicorn_server.children
    gunicorn_server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not set(old) & set(gunicorn_server.children), what="new workers")
    wait_until(gunicorn_server.is_whole, what="both new workers")
    gunicorn_server.ask_many()
    all_is_counted(gunicorn_server)
    assert slots(folder.iterdir()) <= {"0", "1", "2", "3"}
    # The scrape itself is in flight.
    assert gunicorn_server.in_flight() == 1

    gunicorn_server.process.terminate()
    assert gunicorn_server.process.wait(DEADLINE_S) == 0
    assert not folder.exists()


@pytest.mark.parametrize("gunicorn_server", [{"workers": 1, "max_requests": 4}], indirect=True)
def test_recycled_workers_keep_counting(gunicorn_server: GunicornServer) -> None:
    """Workers end after four requests, and their successors need no more files."""
    workers = set()
    for _ in range(ASKED_AT_ONCE):
        wait_until(gunicorn_server.ask, what="an answer")
        workers.update(gunicorn_server.children)
    all_is_counted(gunicorn_server)

    assert len(workers) > 1
    # A worker may end between two checks.
    files: set[Path] = set()
    wait_until(lambda: files.update(gunicorn_server.files()) or files, what="a worker that counts")
    assert slots(next(iter(files)).parent.iterdir()) == {"0"}
