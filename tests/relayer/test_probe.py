"""``python -m relayer.probe`` as an operator runs it: once, and live in a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import redis

from launcher.plan import ROOT
from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from trading.marketdata.health import RelayerHealth
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys

# Makes stdin the controlling terminal, as a shell does, and executes the command.
IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
_numbers = count(1)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "REDIS_URL": url,
        "TERM": "xterm-256color",
        "COLUMNS": "140",
        "LINES": "50",
    }


def probe(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the probe to its end."""
    command = [sys.executable, "-m", "relayer.probe", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def write_record(client: "redis.Redis", **changed: Any) -> None:
    """Write the record of a healthy relayer with the given changes."""
    now = datetime.now(UTC)
    facts = {
        "pid": 4711,
        "started_at": now,
        "updated_at": now,
        "connected": True,
        "last_tick_at": now,
        "wanted": 2,
    }
    client.set(keys.RELAYER_HEALTH, RelayerHealth(**{**facts, **changed}).to_json())


def write_tick(client: "redis.Redis", code: str, price: int) -> None:
    """Write a trade as the relayer does."""
    now = datetime.now(UTC)
    tick = Tick(
        code=code,
        price=price,
        volume=3,
        traded_at=now,
        received_at=now,
        position=Position(int(now.timestamp() * 1_000), next(_numbers)),
        base=70_000,
    )
    client.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(tick.position))
    client.set(keys.last_tick(code), tick.to_json())


def test_once_prints_a_healthy_relayer(valkey_url: str, client: "redis.Redis") -> None:
    write_record(client, lease_number=12, refused_total=1)
    write_tick(client, "A005930", 71_500)
    write_tick(client, "A000660", 190_100)
    client.xadd(keys.TICK_STREAM, {"an entry of": "another writer"})

    done = probe(valkey_url, "--once")

    assert "stream_entries_malformed" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    for shown in (
        "HEALTHY",
        "pid 4711, lease 12",
        "1 refused",
        "A005930",
        "71,500",
        "+1,500",
        "A000660",
        "190,100",
    ):
        assert shown in done.stdout


def test_code_selects_stocks(valkey_url: str, client: "redis.Redis") -> None:
    write_record(client)
    write_tick(client, "A005930", 71_500)
    write_tick(client, "A000660", 190_100)

    done = probe(valkey_url, "--once", "--code", "000660", "--code", "A035720")

    assert "190,100" in done.stdout
    assert "71,500" not in done.stdout
    assert probe(valkey_url, "--once", "--code", "samsung").returncode == 2


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (
            {"connected": False, "why_disconnected": "the server said \x1b[2J[bold]no[/]"},
            "the server said �[2J[bold]no[/]",
        ),
        ({"updated_at": datetime.now(UTC) - timedelta(hours=1)}, "no-heartbeat"),
    ],
    ids=["disconnected", "dead"],
)
def test_an_unhealthy_relayer_exits_1_with_reasons(
    valkey_url: str, client: "redis.Redis", changed: dict[str, Any], shown: str
) -> None:
    """Control characters are removed from the output."""
    write_record(client, **changed)

    done = probe(valkey_url, "--once")

    assert done.returncode == 1
    assert shown in done.stdout


def test_missing_record_and_missing_redis_are_reported(valkey_url: str) -> None:
    offline = probe(valkey_url, "--once")
    port = free_port()
    alone = probe(f"redis://:secret@127.0.0.1:{port}/0", "--once")

    assert (offline.returncode, "OFFLINE" in offline.stdout) == (1, True)
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr == (
        f"The Redis server 127.0.0.1:{port} does not answer: start it, or correct REDIS_URL.\n"
    )


class Terminal:
    """The output of a command in its own terminal."""

    def __init__(self, master: int) -> None:
        self.seen = ""
        self._master = master

    def wait_for(self, text: str) -> None:
        """Read until ``text`` appears after what the last call read."""
        shown, deadline = "", time.monotonic() + DEADLINE_S
        while text not in ESCAPES.sub("", shown):
            assert time.monotonic() < deadline, (
                f"{text!r} is not shown within {DEADLINE_S:g} s: {shown[-2_000:]}"
            )
            shown += self.read(1.0)

    def read(self, wait_s: float) -> str:
        if not select.select([self._master], [], [], wait_s)[0]:
            return ""
        try:
            text = os.read(self._master, 65_536).decode(errors="replace")
        except OSError:
            # The other end is closed.
            return ""
        self.seen += text
        return text

    def press(self, key: bytes) -> None:
        os.write(self._master, key)


@contextmanager
def live(url: str, *arguments: str) -> Iterator[tuple[Terminal, "subprocess.Popen[bytes]"]]:
    """Run the probe in its own terminal; kill it if the test leaves it running."""
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-c",
        IN_A_TERMINAL,
        sys.executable,
        "-m",
        "relayer.probe",
        *arguments,
    ]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(url),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master), running
    finally:
        running.kill()
        running.wait()
        os.close(master)


@pytest.mark.parametrize("ending", ["ctrl-c", "sigterm"])
def test_live_screen_refreshes_and_restores_the_terminal(
    valkey_url: str, client: "redis.Redis", ending: str
) -> None:
    write_record(client)
    write_tick(client, "A005930", 71_500)

    with live(valkey_url) as (terminal, running):
        terminal.wait_for("71,500")
        write_tick(client, "A005930", 71_600)
        terminal.wait_for("71,600")
        client.delete(keys.RELAYER_HEALTH)
        terminal.wait_for("OFFLINE")
        if ending == "ctrl-c":
            terminal.press(b"\x03")
        else:
            running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=DEADLINE_S) == 0
        while terminal.read(0.2):
            pass

    assert "\x1b[?1049h" in terminal.seen
    assert terminal.seen.rindex("\x1b[?1049l") > terminal.seen.rindex("\x1b[?1049h")
    assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")
    assert "Traceback" not in terminal.seen
