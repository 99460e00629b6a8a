"""Several beats: one sends, another takes over. Real processes and a real Redis."""

import os
import signal
from pathlib import Path

import pytest
import redis

from tests.support.servers import Valkey, wait_until
from tests.support.trading_harness import settings_for
from tests.workers.processes import CeleryProcess, beat
from trading.config.settings import Settings
from trading.redis import keys

ACTIVE, STANDBY = "beat_active", "beat_standby"
SENT = "Sending due task"


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    """Settings without a database. Beat logs sent messages at DEBUG only."""
    return settings_for("sqlite:///no.db", valkey_url, log_level="DEBUG")


def until(process: CeleryProcess, event: str, *, times: int = 1) -> None:
    wait_until(
        lambda: process.output.count(event) >= times,
        what=f"{event} in {process.log.name}",
    )


@pytest.fixture
def pair(tmp_path: Path, settings: Settings) -> tuple[CeleryProcess, CeleryProcess]:
    return beat(tmp_path / "one.log", settings), beat(tmp_path / "other.log", settings)


def test_one_beat_sends_and_another_takes_over_after_a_kill(
    pair: tuple[CeleryProcess, CeleryProcess],
) -> None:
    """The standby sends nothing until then."""
    one, other = pair
    with one, other:
        until(one, SENT)
        until(other, STANDBY)
        assert SENT not in other.output

        one.kill()

        until(other, SENT)


def test_a_stopping_beat_is_replaced_before_its_lock_expires(
    pair: tuple[CeleryProcess, CeleryProcess], valkey_url: str
) -> None:
    """It releases the lock."""
    one, other = pair
    with redis.Redis.from_url(valkey_url) as client, one, other:
        until(one, SENT)
        until(other, STANDBY)
        locked_order = client.get(keys.BEAT_LOCK)

        one.stop()

        # Otherwise the lock would exist until it expires.
        assert client.get(keys.BEAT_LOCK) != locked_order
        until(other, SENT)


def test_a_suspended_beat_becomes_a_standby_when_it_continues(
    pair: tuple[CeleryProcess, CeleryProcess],
) -> None:
    one, other = pair
    with one, other:
        until(one, SENT)
        until(other, STANDBY)
        os.kill(one.pid, signal.SIGSTOP)
        until(other, SENT)

        os.kill(one.pid, signal.SIGCONT)

        until(one, STANDBY)


def test_beat_survives_an_empty_or_missing_redis(
    pair: tuple[CeleryProcess, CeleryProcess], valkey_server: Valkey, valkey_url: str
) -> None:
    """It sends again as soon as Redis is back."""
    one, _ = pair
    with one, redis.Redis.from_url(valkey_url) as client:
        until(one, SENT)
        client.flushall()
        wait_until(lambda: client.exists(keys.BEAT_LOCK), what="the lock after the flush")
        valkey_server.stop()
        try:
            until(one, STANDBY)
        finally:
            valkey_server.start()

        until(one, ACTIVE, times=2)
