"""``python -m push_gateway`` as a process: imports, start and shutdown."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from launcher.ports import free_port
from tests.push_gateway.harness import SAMSUNG, SECRET, User
from tests.relayer.test_process import FORBIDDEN, process, stop_process
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until

RUN_AND_LIST_MODULES = """
import json, sys
from push_gateway.__main__ import main
code = main()
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


@contextmanager
def running(
    valkey_url: str, *command: str, **more: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run a connected gateway and yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "REDIS_URL": valkey_url,
        "GATEWAY_PORT": str(port),
        "JWT_SECRET_KEY": SECRET,
        "LOG_FORMAT": "json",
        **more,
    }
    with process(*(command or ("-m", "push_gateway")), **environment) as gateway:
        wait_until(
            lambda: is_up(url) or gateway.poll() is not None,
            what="the gateway is up",
        )
        yield gateway, url


def is_up(url: str) -> bool:
    try:
        return bool(requests.get(f"{url}/healthz", timeout=DEADLINE_S).json()["redis"])
    except requests.RequestException:
        return False


def open_stream(url: str, token: str) -> requests.Response:
    return requests.get(
        f"{url}/api/v1/trading/realtime/stream?stock_codes={SAMSUNG}",
        headers={"Authorization": f"Bearer {token}"},
        stream=True,
        timeout=DEADLINE_S,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_gateway_shuts_down_cleanly_on_a_signal(number: signal.Signals, valkey_url: str) -> None:
    """It exits with 0 whether clients read or not, asks them to reconnect, and logs no token."""
    reading, dead = User().token(), User().token()
    with (
        running(valkey_url, LOG_LEVEL="DEBUG") as (gateway, url),
        socket.socket() as silent,
        open_stream(url, reading) as stream,
    ):
        silent.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        silent.sendall(
            (
                "GET /api/v1/trading/realtime/stream HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {dead}\r\n\r\n"
            ).encode()
        )
        wait_until(
            lambda: requests.get(f"{url}/healthz", timeout=DEADLINE_S).json()["clients"] == 2,
            what="both are connected",
        )
        output = stop_process(gateway, number)
        assert "event: closing" in stream.text

    assert gateway.returncode == 0
    assert not any(part in output for token in (reading, dead) for part in token.split("."))
    events = [json.loads(line)["event"] for line in output.splitlines() if line.startswith("{")]
    assert [event for event in events if event.startswith("gateway")] == [
        "gateway_started",
        "gateway_stopping",
        "gateway_stopped",
    ]


def test_running_gateway_loads_no_code_that_could_place_an_order(valkey_url: str) -> None:
    with running(valkey_url, "-c", RUN_AND_LIST_MODULES) as (gateway, url):
        with open_stream(url, User().token()) as stream:
            assert stream.status_code == 200
        output = stop_process(gateway, signal.SIGTERM)

    loaded = json.loads(output.splitlines()[-1])
    assert "push_gateway.handlers" in loaded
    assert [
        name
        for name in loaded
        if name in FORBIDDEN or name.startswith(tuple(f"{each}." for each in FORBIDDEN))
    ] == []


def test_an_occupied_port_is_reported_and_ends_it(valkey_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with process("-m", "push_gateway", REDIS_URL=valkey_url, GATEWAY_PORT=port) as gateway:
            output, _ = gateway.communicate(timeout=DEADLINE_S)

    assert gateway.returncode == 1
    (line,) = [line for line in output.splitlines() if "gateway_bind_failed" in line]
    assert f"port={port}" in line
    assert "Traceback" not in output


def test_invalid_settings_exit_with_one_sentence_each() -> None:
    faulty = {"GATEWAY_ALLOWED_ORIGINS": "https://a.example/path", "GATEWAY_CLIENTS_MAX": "0"}
    with process("-m", "push_gateway", **faulty) as gateway:
        output, _ = gateway.communicate(timeout=DEADLINE_S)

    assert gateway.returncode == 2
    assert "GATEWAY_ALLOWED_ORIGINS: must be origins" in output
    assert "GATEWAY_CLIENTS_MAX" in output


def test_malformed_http_is_logged_in_one_line(valkey_url: str) -> None:
    """It is no server error, and the data sent is not logged, as it may contain a token."""
    with running(valkey_url) as (gateway, url):
        for sent in (
            b"GET / HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\x1b[31m\r\n\r\n",
            b"\x00\xff no HTTP \r\n\r\n",
        ):
            with socket.create_connection(
                ("127.0.0.1", int(url.rpartition(":")[2])), timeout=DEADLINE_S
            ) as peer:
                peer.sendall(sent)
                assert b"400" in peer.recv(100)
        output = stop_process(gateway, signal.SIGTERM)

    malformed = [
        line
        for line in map(json.loads, output.splitlines())
        if line["event"] == "request_malformed"
    ]
    assert {line["level"] for line in malformed} == {"info"}
    assert "c2VjcmV0" not in output
    assert "error" not in {json.loads(line)["level"] for line in output.splitlines()}
