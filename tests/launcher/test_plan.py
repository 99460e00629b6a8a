"""The plan of a start, and errors before any process starts: one sentence and exit status 1."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import plan
from launcher.credentials import stored_secret
from launcher.errors import LaunchError
from launcher.ports import LOOPBACK, free_port
from launcher.valkey import url_of
from trading.config.settings import Settings


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield int(listener.getsockname()[1])


def launch(var: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STOCKING_VAR": str(var), **ports(), **variables}
    return subprocess.run(
        [sys.executable, "-m", "launcher"],
        cwd=plan.ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def error_line(error: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of an error."""
    assert error.returncode == 1
    assert error.stdout == ""
    [line] = error.stderr.splitlines()
    return line


@pytest.mark.parametrize("variable", ["API_PORT", "FLOWER_PORT", "GUNICORN_PORT", "GATEWAY_PORT"])
def test_busy_port_is_reported_with_its_variable(
    tmp_path: Path, busy_port: int, variable: str
) -> None:
    sentence = error_line(launch(tmp_path, **{variable: str(busy_port)}))
    assert f"Port {busy_port} is busy" in sentence
    assert f"{variable}={busy_port + 1}" in sentence


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "٨٠"])
def test_invalid_port_is_rejected(tmp_path: Path, port: str) -> None:
    with pytest.raises(LaunchError, match=r"API_PORT is .* a port number from 1 to 65535"):
        plan.make_plan({"API_PORT": port}, tmp_path)


@pytest.mark.parametrize("other", ["FLOWER_PORT", "GUNICORN_PORT", "GATEWAY_PORT"])
def test_one_port_for_two_servers_is_rejected(tmp_path: Path, other: str) -> None:
    port = str(free_port())
    ports = {
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "API_PORT": port,
        other: port,
    }
    with pytest.raises(
        LaunchError, match=f"API_PORT and {other} are both {port}: each needs its own port"
    ):
        plan.make_plan(ports, tmp_path)


def test_second_start_reports_the_pid_of_the_first(tmp_path: Path) -> None:
    with (tmp_path / "launcher.pid").open("w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        locked.write("4711\n")
        locked.flush()
        sentence = error_line(launch(tmp_path))
    assert "StocKing already runs" in sentence
    assert "pid 4711" in sentence


def test_pid_file_of_an_ended_launcher_is_ignored(tmp_path: Path, busy_port: int) -> None:
    (tmp_path / "launcher.pid").write_text("4711\n")
    assert "already runs" not in error_line(launch(tmp_path, API_PORT=str(busy_port)))


def test_new_state_folder_is_private(tmp_path: Path) -> None:
    """It contains the database with password hashes, secrets and logs."""
    folder = plan.state_folder({"STOCKING_VAR": str(tmp_path / "var")})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_state_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in error_line(launch(tmp_path / "file" / "var"))


def test_invalid_settings_are_reported_together(tmp_path: Path) -> None:
    error = launch(
        tmp_path,
        FLOWER_PORT=str(free_port()),
        GATEWAY_PORT=str(free_port()),
        STARTING_CASH="-1",
        LOG_LEVEL="LOUD",
    )
    assert error.returncode == 1
    assert "STARTING_CASH" in error.stderr
    assert "LOG_LEVEL" in error.stderr


def test_configured_servers_replace_the_bundled_ones(tmp_path: Path) -> None:
    given = {
        "API_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URI": "mysql+pymysql://user:a-password@127.0.0.1/stocking",
        "TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws",
        "TOSS_API_URL": "https://wts-api.tossinvest.com",
        "PORTONE_API_BASE_URL": "https://api.portone.io",
        "JWT_SECRET_KEY": "k" * 32,
    }
    start_plan = plan.make_plan(given, tmp_path)
    assert start_plan.valkey_port is None
    assert (start_plan.sandbox_url, start_plan.portone_url) == (None, None)
    assert "sandbox" not in start_plan.commands
    assert all(start_plan.environment[name] == value for name, value in given.items())
    assert "a-password" not in plan.displayed_database(start_plan.environment)


def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in plan.CLAIMED}


def test_product_uses_the_rest_api_of_the_sandbox(tmp_path: Path) -> None:
    """One port serves both of Toss's hosts. A URL that the operator sets is kept."""
    start_plan = plan.make_plan(
        {**ports(), "TOSS_CERT_URL": "http://127.0.0.1:1"}, tmp_path
    ).environment
    assert start_plan["TOSS_INFO_URL"] == f"http://127.0.0.1:{start_plan['SANDBOX_REST_PORT']}"
    assert start_plan["TOSS_CERT_URL"] == "http://127.0.0.1:1"


def test_portone_stand_in_and_product_are_connected(tmp_path: Path) -> None:
    """Also with a real market-data feed."""
    given = {
        **ports(),
        "PORTONE_PORT": str(free_port()),
        "TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws",
    }
    start_plan = plan.make_plan(given, tmp_path)
    assert "sandbox" in start_plan.commands
    assert (
        start_plan.portone_url
        == start_plan.environment["PORTONE_API_BASE_URL"]
        == f"http://127.0.0.1:{given['PORTONE_PORT']}"
    )
    hook = f"http://127.0.0.1:{given['API_PORT']}/api/v1/payments/portone/webhook"
    assert start_plan.environment["PORTONE_WEBHOOK_URL"] == hook


@pytest.mark.parametrize("variable", ["PORTONE_PORT", "VALKEY_PORT"])
def test_default_port_that_is_busy_is_replaced_unless_it_was_set(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr(plan, variable, busy_port)
    assert plan.make_plan(ports(), tmp_path).environment[variable] != str(busy_port)
    with pytest.raises(LaunchError, match=f"Port {busy_port} is busy"):
        plan.make_plan({**ports(), variable: str(busy_port)}, tmp_path)


def test_default_redis_url_is_that_of_the_bundled_redis(tmp_path: Path) -> None:
    """Every process receives the actual URL."""
    assert url_of(plan.VALKEY_PORT) == Settings().redis_url.get_secret_value()
    start_plan = plan.make_plan(ports(), tmp_path)
    assert start_plan.environment["REDIS_URL"] == url_of(int(start_plan.environment["VALKEY_PORT"]))


def test_every_process_has_its_own_metrics_port(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is set must be free. A default port that is busy is replaced by a free one."""
    given = ports()
    start_plan = plan.make_plan(given, tmp_path)
    assert start_plan.metrics_urls == {
        "api": f"http://127.0.0.1:{given['GUNICORN_PORT']}/metrics",
        "gateway": f"http://127.0.0.1:{given['GATEWAY_PORT']}/metrics",
        **{
            name: f"http://127.0.0.1:{given[f'{name.upper()}_METRICS_PORT']}/metrics"
            for name in ("worker", "beat", "relayer")
        },
    }

    unasked = {name: port for name, port in given.items() if name not in plan.METRICS_PORTS}
    default = {"WORKER": busy_port, "BEAT": int(given["FLOWER_PORT"]), "RELAYER": free_port()}
    for name, port in default.items():
        monkeypatch.setitem(plan.METRICS_PORTS, f"{name}_METRICS_PORT", port)
    environment = plan.make_plan(unasked, tmp_path).environment
    assert environment["RELAYER_METRICS_PORT"] == str(default["RELAYER"])
    assert not {environment["WORKER_METRICS_PORT"], environment["BEAT_METRICS_PORT"]} & {
        str(port) for port in default.values()
    }
    with pytest.raises(LaunchError, match=f"Port {busy_port} is busy"):
        plan.make_plan({**given, "BEAT_METRICS_PORT": str(busy_port)}, tmp_path)


def test_generated_secret_is_stable_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secret = stored_secret(folder, "jwt_secret_key")
    assert stored_secret(folder, "jwt_secret_key") == secret
    assert stored_secret(folder, "other") != secret
    assert len(secret) >= 32
    assert stat.S_IMODE((folder / "jwt_secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
