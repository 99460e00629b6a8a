"""What the launcher refuses before it starts anything: one clear sentence, exit status 1, nothing left running."""

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
from launcher.credentials import kept_secret
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


def the_sentence(refused: subprocess.CompletedProcess[str]) -> str:
    """The one line that it said."""
    assert refused.returncode == 1
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    return line


@pytest.mark.parametrize("variable", ["API_PORT", "FLOWER_PORT", "GUNICORN_PORT", "GATEWAY_PORT"])
def test_a_busy_port_is_named_with_the_variable_that_changes_it(
    tmp_path: Path, busy_port: int, variable: str
) -> None:
    sentence = the_sentence(launch(tmp_path, **{variable: str(busy_port)}))
    assert f"Port {busy_port} is busy" in sentence
    assert f"{variable}={busy_port + 1}" in sentence


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "٨٠"])
def test_what_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(LaunchError, match=r"API_PORT is .* a port number from 1 to 65535"):
        plan.make({"API_PORT": port}, tmp_path)


@pytest.mark.parametrize("other", ["FLOWER_PORT", "GUNICORN_PORT", "GATEWAY_PORT"])
def test_one_port_for_two_servers_is_refused(tmp_path: Path, other: str) -> None:
    port = str(free_port())
    ports = {
        "FLOWER_PORT": str(free_port()),
        "GATEWAY_PORT": str(free_port()),
        "API_PORT": port,
        other: port,
    }
    with pytest.raises(
        LaunchError, match=f"API_PORT and {other} are both {port}: each needs a port of its own"
    ):
        plan.make(ports, tmp_path)


def test_a_second_start_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with (tmp_path / "launcher.pid").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711\n")
        held.flush()
        sentence = the_sentence(launch(tmp_path))
    assert "StocKing already runs" in sentence
    assert "pid 4711" in sentence


def test_the_lock_of_a_launcher_that_is_gone_does_not_count(tmp_path: Path, busy_port: int) -> None:
    (tmp_path / "launcher.pid").write_text("4711\n")
    assert "already runs" not in the_sentence(launch(tmp_path, API_PORT=str(busy_port)))


def test_a_new_state_folder_is_closed_to_other_users(tmp_path: Path) -> None:
    """It holds the database with its password hashes, secrets and logs."""
    folder = plan.state_folder({"STOCKING_VAR": str(tmp_path / "var")})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made" in the_sentence(launch(tmp_path / "file" / "var"))


def test_faults_of_the_settings_are_told_together(tmp_path: Path) -> None:
    refused = launch(
        tmp_path,
        FLOWER_PORT=str(free_port()),
        GATEWAY_PORT=str(free_port()),
        STARTING_CASH="-1",
        LOG_LEVEL="LOUD",
    )
    assert refused.returncode == 1
    assert "STARTING_CASH" in refused.stderr
    assert "LOG_LEVEL" in refused.stderr


def test_own_servers_are_used_instead_of_the_bundled_ones(tmp_path: Path) -> None:
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
    decided = plan.make(given, tmp_path)
    assert decided.valkey_port is None
    assert (decided.sandbox_url, decided.portone_url) == (None, None)
    assert "sandbox" not in decided.commands
    assert all(decided.environment[name] == value for name, value in given.items())
    assert "a-password" not in plan.database_of(decided.environment)


def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in plan.CLAIMED}


def test_the_rest_api_of_the_sandbox_is_where_the_product_asks(tmp_path: Path) -> None:
    """On one port of its own for both of Toss's hosts; what an operator names himself stays."""
    decided = plan.make({**ports(), "TOSS_CERT_URL": "http://127.0.0.1:1"}, tmp_path).environment
    assert decided["TOSS_INFO_URL"] == f"http://127.0.0.1:{decided['SANDBOX_REST_PORT']}"
    assert decided["TOSS_CERT_URL"] == "http://127.0.0.1:1"


def test_the_stand_in_for_portone_and_the_product_know_each_other(tmp_path: Path) -> None:
    """On the port that was asked for; also beside a real feed."""
    given = {
        **ports(),
        "PORTONE_PORT": str(free_port()),
        "TOSS_WEBSOCKET_URL": "wss://realtime-socket.tossinvest.com/ws",
    }
    decided = plan.make(given, tmp_path)
    assert "sandbox" in decided.commands
    assert (
        decided.portone_url
        == decided.environment["PORTONE_API_BASE_URL"]
        == f"http://127.0.0.1:{given['PORTONE_PORT']}"
    )
    hook = f"http://127.0.0.1:{given['API_PORT']}/api/v1/payments/portone/webhook"
    assert decided.environment["PORTONE_WEBHOOK_URL"] == hook


@pytest.mark.parametrize("variable", ["PORTONE_PORT", "VALKEY_PORT"])
def test_a_usual_port_that_is_busy_is_another_one_unless_it_was_asked_for(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr(plan, variable, busy_port)
    assert plan.make(ports(), tmp_path).environment[variable] != str(busy_port)
    with pytest.raises(LaunchError, match=f"Port {busy_port} is busy"):
        plan.make({**ports(), variable: str(busy_port)}, tmp_path)


def test_commands_find_the_bundled_redis_without_being_told(tmp_path: Path) -> None:
    """Its usual port is that of the settings' default; every process is told the one that it has."""
    assert url_of(plan.VALKEY_PORT) == Settings().redis_url.get_secret_value()
    decided = plan.make(ports(), tmp_path)
    assert decided.environment["REDIS_URL"] == url_of(int(decided.environment["VALKEY_PORT"]))


def test_every_process_tells_of_itself_at_a_port_of_its_own(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the one that was asked for, which must be free; else at its usual one, or at another where somebody has that."""
    asked = ports()
    decided = plan.make(asked, tmp_path)
    assert decided.metrics_urls == {
        "api": f"http://127.0.0.1:{asked['GUNICORN_PORT']}/metrics",
        "gateway": f"http://127.0.0.1:{asked['GATEWAY_PORT']}/metrics",
        **{
            name: f"http://127.0.0.1:{asked[f'{name.upper()}_METRICS_PORT']}/metrics"
            for name in ("worker", "beat", "relayer")
        },
    }

    unasked = {name: port for name, port in asked.items() if name not in plan.METRICS_PORTS}
    usual = {"WORKER": busy_port, "BEAT": int(asked["FLOWER_PORT"]), "RELAYER": free_port()}
    for name, port in usual.items():
        monkeypatch.setitem(plan.METRICS_PORTS, f"{name}_METRICS_PORT", port)
    chosen = plan.make(unasked, tmp_path).environment
    assert chosen["RELAYER_METRICS_PORT"] == str(usual["RELAYER"])
    assert not {chosen["WORKER_METRICS_PORT"], chosen["BEAT_METRICS_PORT"]} & {
        str(port) for port in usual.values()
    }
    with pytest.raises(LaunchError, match=f"Port {busy_port} is busy"):
        plan.make({**asked, "BEAT_METRICS_PORT": str(busy_port)}, tmp_path)


def test_a_made_up_secret_stays_the_same_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secret = kept_secret(folder, "jwt_secret_key")
    assert kept_secret(folder, "jwt_secret_key") == secret
    assert kept_secret(folder, "other") != secret
    assert len(secret) >= 32
    assert stat.S_IMODE((folder / "jwt_secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
