"""The liveness file of workers and beat, with real processes and a real Redis."""

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

# A little longer than one period, and much longer.
FRESH_S, STALE_S = 2.5, 8.0


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    """Settings without a database. Beat logs sent messages at DEBUG only."""
    return settings_for("sqlite:///no.db", valkey_url, log_level="DEBUG")


@pytest.fixture
def age_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """Return a function for the file's age; infinite while it does not exist."""
    file = tmp_path / "sign-of-life"
    monkeypatch.setenv("LIVENESS_FILE", str(file))
    return lambda: time.time() - file.stat().st_mtime if file.exists() else float("inf")


def test_a_worker_touches_the_file_while_connected_to_the_broker(
    tmp_path: Path, settings: Settings, valkey_server: Valkey, age_s: Callable[[], float]
) -> None:
    """A worker without a broker is unhealthy; it recovers with the broker."""
    with worker(tmp_path / "worker.log", settings, queues="orders.execute"):
        wait_until(lambda: age_s() < FRESH_S, what="the liveness file")
        valkey_server.stop()
        try:
            wait_until(lambda: age_s() > STALE_S, what="a stale liveness file without a broker")
        finally:
            valkey_server.start()
        wait_until(
            lambda: age_s() < FRESH_S, what="the liveness file again", deadline_s=2 * DEADLINE_S
        )


@pytest.mark.parametrize("lock_of_another", [False, True], ids=["active", "standby"])
def test_beat_touches_the_file(
    tmp_path: Path,
    settings: Settings,
    valkey_url: str,
    age_s: Callable[[], float],
    *,
    lock_of_another: bool,
) -> None:
    """As a standby too."""
    if lock_of_another:
        with redis.Redis.from_url(valkey_url) as client:
            client.set(keys.BEAT_LOCK, "another", ex=600)

    with beat(tmp_path / "beat.log", settings) as process:
        event = "beat_standby" if lock_of_another else "beat_active"
        wait_until(lambda: event in process.output, what=event)
        wait_until(lambda: age_s() < FRESH_S, what="the liveness file")


def test_an_unwritable_file_does_not_stop_beat(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVENESS_FILE", str(tmp_path / "missing" / "sign-of-life"))

    with beat(tmp_path / "beat.log", settings) as process:
        wait_until(lambda: "liveness_file_error" in process.output, what="the error is logged")
        wait_until(lambda: "Sending due task" in process.output, what="a task is sent")
