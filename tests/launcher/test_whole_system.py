"""The whole system under the launcher: start, demo, killed processes, stop."""

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect

from launcher.plan import ROOT
from launcher.ports import free_port
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until


def processes_of(var: Path) -> dict[int, str]:
    """Return pid and command line of every process started for this state folder, by its
    environment.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"STOCKING_VAR={var}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
    return found


def environment_of(var: Path) -> dict[str, str]:
    """Return free ports and a new state folder, without settings of other servers."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Passwords are hashed at low cost, since only the system's operation is tested.
    return {
        **inherited,
        "STOCKING_VAR": str(var),
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GUNICORN_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "PORTONE_PORT": str(free_port()),
        "VALKEY_PORT": str(free_port()),
        "ARGON2_TIME_COST": "1",
        "ARGON2_MEMORY_KIB": "1024",
    }


@contextlib.contextmanager
def launched(
    var: Path, *arguments: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the launcher, and yield it with its output file. Nothing is left running at the end."""
    var.mkdir(parents=True, exist_ok=True)
    output = var.parent / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=ROOT,
            env={**environment_of(var), **variables},
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as launcher,
    ):
        try:
            yield launcher, output
        finally:
            launcher.kill()
    assert_nothing_left(var)


def assert_nothing_left(var: Path) -> None:
    wait_until(lambda: not processes_of(var), what=f"no process of {var} is left")


def wait_until_up(launcher: subprocess.Popen[bytes], output: Path) -> None:
    wait_until(
        lambda: "Demo sign-in" in output.read_text() or launcher.poll() is not None,
        what="everything is up",
    )
    assert launcher.poll() is None, output.read_text()


def flask(var: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as in another terminal, with only the state folder in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STOCKING_VAR": str(var)},
        capture_output=True,
        text=True,
        check=False,
    )


def demo_password(output: Path) -> str:
    found = re.search(r"demo@stocking\.example / (\S+)", output.read_text())
    assert found, output.read_text()
    return found[1]


def serves_metrics(url: str) -> bool:
    try:
        return "# TYPE stocking_" in requests.get(url, timeout=DEADLINE_S).text
    except requests.RequestException:
        return False


def every_celery_worker(var: Path) -> list[int]:
    """Return the pids that `pkill -f` would find: the worker and its pool processes."""
    found = [pid for pid, line in processes_of(var).items() if "celery -A workers worker" in line]
    assert len(found) > 1
    return found


@pytest.fixture
def var(tmp_path: Path) -> Path:
    """A state folder with a space in its path."""
    return tmp_path / "state folder" / "var"


def test_demo_passes_all_its_checks(var: Path) -> None:
    with launched(var, "--demo") as (launcher, output):
        status = launcher.wait(DEADLINE_S)
        text = output.read_text()
        assert status == 0, text
        assert "every sum is right and the audit is clean" in text
        assert "DIFFERS" not in text
        assert_nothing_left(var)


def test_system_survives_killed_workers_and_stops_on_ctrl_c(var: Path) -> None:
    with launched(var) as (launcher, output):
        wait_until_up(launcher, output)
        first_password = demo_password(output)
        addresses = re.findall(r"(http://\S+/metrics)  \(\w+\)", output.read_text())
        assert len(addresses) == 5
        for address in addresses:
            wait_until(lambda url=address: serves_metrics(url), what=f"an answer at {address}")
        wait_until(lambda: flask(var, "status").stdout.startswith("OK\n"), what="the status is OK")
        assert flask(var, "users", "list").stdout.startswith("demo@stocking.example  ")
        assert stat.S_IMODE((var / "stocking.env").stat().st_mode) == 0o600
        for pid in every_celery_worker(var):
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: "ready." in output.read_text().partition("Ended by SIGKILL")[2],
            what="the worker is back",
        )
        assert launcher.poll() is None
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(DEADLINE_S) == 0, output.read_text()
        assert_nothing_left(var)

    with launched(var) as (launcher, output):
        wait_until_up(launcher, output)
        assert demo_password(output) == first_password
        assert "Ended by SIGKILL" in (var / "log" / "worker.log.1").read_text()
        launcher.kill()
        launcher.wait()
        assert_nothing_left(var)


@contextlib.contextmanager
def busy_clients(url: str, password: str) -> Iterator[None]:
    """Keep event streams and WebSocket connections open and place orders until the block ends."""
    account = {"email": "demo@stocking.example", "password": password}
    answer = requests.post(f"{url}/api/v1/users/login", json=account, timeout=DEADLINE_S)
    token = answer.json()["data"]["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    order = {"stock_code": "A005930", "side": "BUY", "quantity": 1}
    ended, placed = threading.Event(), threading.Event()

    def trade() -> None:
        while not ended.is_set():
            with contextlib.suppress(requests.RequestException):
                path = f"{url}/api/v1/trading/orders"
                if requests.post(path, json=order, headers=headers, timeout=DEADLINE_S).ok:
                    placed.set()

    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stream = f"{url}/api/v1/trading/realtime/stream"
            opened = requests.get(stream, headers=headers, timeout=DEADLINE_S, stream=True)
            stack.callback(opened.close)
            assert next(opened.iter_lines())
            websocket = stack.enter_context(
                connect(url.replace("http", "ws") + "/ws", origin=url, open_timeout=DEADLINE_S)
            )
            websocket.send(json.dumps({"type": "auth", "token": token}))
            assert json.loads(websocket.recv(timeout=DEADLINE_S))["type"] == "ready"
        traders = [threading.Thread(target=trade) for _ in range(2)]
        for trader in traders:
            trader.start()
        try:
            assert placed.wait(DEADLINE_S)
            yield
        finally:
            ended.set()
            for trader in traders:
                trader.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_kills_no_process_while_clients_are_connected(
    var: Path, number: signal.Signals
) -> None:
    """Each process ends within its grace time, with open streams and while orders arrive."""
    port = free_port()
    with launched(var, API_PORT=str(port)) as (launcher, output):
        wait_until_up(launcher, output)
        with busy_clients(f"http://127.0.0.1:{port}", demo_password(output)):
            launcher.send_signal(number)
            status = launcher.wait(DEADLINE_S)
        logs = "".join(file.read_text(errors="replace") for file in (var / "log").glob("*.log"))
        assert "Killing it" not in output.read_text() + logs
        assert status == 0, output.read_text()
        assert_nothing_left(var)


def test_process_that_keeps_failing_ends_the_start_with_its_log(var: Path) -> None:
    with launched(var, SANDBOX_ARGS="--no-such-option") as (launcher, output):
        assert launcher.wait(DEADLINE_S) == 1
        text = output.read_text()
        assert "The sandbox keeps failing." in text
        assert "no-such-option" in text
        assert_nothing_left(var)
