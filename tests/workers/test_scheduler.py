"""Several beats: one sends, and another goes on when it is gone. Real processes on a real Redis."""

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

SENDS, STANDS_BY = "beat_active", "beat_standby"
SENT = "Sending due task"


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    """Beat needs no database: it only sends. What it sends, Celery tells only whoever asks for everything."""
    return settings_for("sqlite:///no.db", valkey_url, log_level="DEBUG")


def until(process: CeleryProcess, word: str, *, times: int = 1) -> None:
    wait_until(
        lambda: process.output.count(word) >= times,
        what=f"{word} in {process.log.name}",
    )


@pytest.fixture
def pair(tmp_path: Path, settings: Settings) -> tuple[CeleryProcess, CeleryProcess]:
    return beat(tmp_path / "one.log", settings), beat(tmp_path / "other.log", settings)


def test_one_sends_and_a_killed_one_is_succeeded(pair: tuple[CeleryProcess, CeleryProcess]) -> None:
    """The second stands by without sending anything, until the first is gone."""
    one, other = pair
    with one, other:
        until(one, SENT)
        until(other, STANDS_BY)
        assert SENT not in other.output

        one.kill()

        until(other, SENT)


def test_one_that_leaves_is_succeeded_before_its_time_is_up(
    pair: tuple[CeleryProcess, CeleryProcess], valkey_url: str
) -> None:
    """It gives the lock back, so nobody waits for that to expire."""
    one, other = pair
    with redis.Redis.from_url(valkey_url) as client, one, other:
        until(one, SENT)
        until(other, STANDS_BY)
        held = client.get(keys.BEAT_LOCK)

        one.stop()

        # Otherwise the lock would still be there, for as long as it takes to expire.
        assert client.get(keys.BEAT_LOCK) != held
        until(other, SENT)


def test_one_that_was_stopped_stands_by_when_it_goes_on(
    pair: tuple[CeleryProcess, CeleryProcess],
) -> None:
    """It finds that another has taken its place."""
    one, other = pair
    with one, other:
        until(one, SENT)
        until(other, STANDS_BY)
        os.kill(one.pid, signal.SIGSTOP)
        until(other, SENT)

        os.kill(one.pid, signal.SIGCONT)

        until(one, STANDS_BY)


def test_an_emptied_or_absent_redis_ends_no_beat(
    pair: tuple[CeleryProcess, CeleryProcess], valkey_server: Valkey, valkey_url: str
) -> None:
    """It sends again as soon as there is something to send to."""
    one, _ = pair
    with one, redis.Redis.from_url(valkey_url) as client:
        until(one, SENT)
        client.flushall()
        wait_until(lambda: client.exists(keys.BEAT_LOCK), what="the lock after the flush")
        valkey_server.stop()
        try:
            until(one, STANDS_BY)
        finally:
            valkey_server.start()

        until(one, SENDS, times=2)
