"""The file by which a container's health check knows that a worker or a beat does its work. Real processes on a real Redis."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.deadlines import DEADLINE_S
from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import settings_for
from tests.workers.processes import beat, worker
from trading.config.settings import Settings
from trading.redis import keys

# A little longer than a round, and much longer.
FRESH_S, STALE_S = 2.5, 8.0


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    """No database is needed by a process that is given nothing to do. What beat sends, Celery tells only whoever asks for everything."""
    return settings_for("sqlite:///no.db", valkey_url, log_level="DEBUG")


@pytest.fixture
def age_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """The age of the file, which the processes are told to keep; endless while there is none."""
    file = tmp_path / "sign-of-life"
    monkeypatch.setenv("SIGN_OF_LIFE_FILE", str(file))
    return lambda: time.time() - file.stat().st_mtime if file.exists() else float("inf")


def test_a_worker_gives_it_while_it_has_a_broker(
    tmp_path: Path, settings: Settings, valkey_server: Valkey, age_s: Callable[[], float]
) -> None:
    """A worker that can be given no work is no healthy one, though its process lives; with the broker it recovers by itself."""
    with worker(tmp_path / "worker.log", settings, queues="orders.execute"):
        wait_until(lambda: age_s() < FRESH_S, what="a sign of life")
        valkey_server.stop()
        try:
            wait_until(lambda: age_s() > STALE_S, what="no sign of life without a broker")
        finally:
            valkey_server.start()
        wait_until(
            lambda: age_s() < FRESH_S, what="a sign of life again", deadline_s=2 * DEADLINE_S
        )


@pytest.mark.parametrize("lock_of_another", [False, True], ids=["sends", "stands by"])
def test_a_beat_gives_it(
    tmp_path: Path,
    settings: Settings,
    valkey_url: str,
    age_s: Callable[[], float],
    *,
    lock_of_another: bool,
) -> None:
    """One that stands by is as well as the one that sends."""
    if lock_of_another:
        with redis.Redis.from_url(valkey_url) as client:
            client.set(keys.BEAT_LOCK, "another", ex=600)

    with beat(tmp_path / "beat.log", settings) as process:
        word = "beat_standby" if lock_of_another else "beat_active"
        wait_until(lambda: word in process.output, what=word)
        wait_until(lambda: age_s() < FRESH_S, what="a sign of life")


def test_a_place_that_can_not_be_written_stops_no_beat(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher says that something is wrong; the periodic tasks are sent all the same."""
    monkeypatch.setenv("SIGN_OF_LIFE_FILE", str(tmp_path / "missing" / "sign-of-life"))

    with beat(tmp_path / "beat.log", settings) as process:
        wait_until(lambda: "liveness_file_error" in process.output, what="it is told")
        wait_until(lambda: "Sending due task" in process.output, what="a task is sent")
