"""``python -m relayer`` as a process: imports, start and shutdown."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
import requests
from prometheus_client.parser import text_string_to_metric_families

from launcher.plan import ROOT
from launcher.ports import free_port
from relayer.feed.guest_token import WEB_ORIGIN
from tests.architecture.source import python_files, strings
from tests.relayer.harness import SAMSUNG, add_subscriptions, confirmed_count, health
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until
from trading.config.settings import SettingsError, load
from trading.observability.metrics.families import FAMILIES, ProcessKind
from trading.redis import keys

FORBIDDEN = (
    "flask",
    "celery",
    "kombu",
    "sqlalchemy",
    "webapp",
    "workers",
    "sandbox",
    "trading.bootstrap",
    "trading.bootstrap",
    "trading.db",
    "trading.ledger",
    "trading.orders",
    "trading.payments",
    "trading.portfolio",
    "trading.tasks",
)
# Runs the relayer as its command does and prints the loaded modules at the end.
RUN_AND_LIST_MODULES = """
import json, sys
from relayer.__main__ import main
code = main()
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


@contextmanager
def process(*command: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a Python process with only these settings; kill it if the test leaves it running."""
    running = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextmanager
def sandbox_settings(valkey_url: str) -> Iterator[dict[str, str]]:
    """Yield the environment of a relayer whose Toss is a sandbox process."""
    port = free_port()
    with process("-m", "sandbox", "--port", str(port)):
        yield environment_for(valkey_url, port)


def environment_for(valkey_url: str, port: int) -> dict[str, str]:
    return {
        "REDIS_URL": valkey_url,
        "TOSS_API_URL": f"http://127.0.0.1:{port}",
        "TOSS_WEBSOCKET_URL": f"ws://127.0.0.1:{port}/ws",
        "LOG_FORMAT": "json",
    }


def stop_process(running: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Send the signal and return the output."""
    running.send_signal(number)
    output, _ = running.communicate(timeout=DEADLINE_S)
    return output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_relayer_shuts_down_cleanly_on_a_signal(
    number: signal.Signals, valkey_url: str, client: "redis.Redis"
) -> None:
    """Exit code 0, a last health record, one JSON object per log line."""
    add_subscriptions(client, SAMSUNG)
    with (
        sandbox_settings(valkey_url) as environment,
        process("-m", "relayer", **environment) as relayer,
    ):
        wait_until(lambda: confirmed_count(client) == 1, what="the relayer is connected")
        wait_until(
            lambda: client.xlen(keys.TICK_STREAM) > 0,
            what="a trade is in the stream",
        )
        output = stop_process(relayer, number)

    final = health(client)
    assert relayer.returncode == 0
    assert final is not None
    assert not final.connected
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert events == [
        "relayer_started",
        "lease_acquired",
        "feed_connected",
        "relayer_stopping",
        "feed_closed",
        "relayer_stopped",
    ]


def test_frames_are_not_logged(valkey_url: str, client: "redis.Redis") -> None:
    """One frame contains the token, and the WebSocket library logs frames at DEBUG."""
    add_subscriptions(client, SAMSUNG)
    with (
        sandbox_settings(valkey_url) as environment,
        process("-m", "relayer", **environment, LOG_LEVEL="DEBUG") as relayer,
    ):
        wait_until(lambda: confirmed_count(client) == 1, what="the relayer is connected")
        output = stop_process(relayer, signal.SIGTERM)

    assert "relayer_started" in output
    assert "CONNECT" not in output


def test_relayer_shuts_down_without_toss(valkey_url: str) -> None:
    check_shutdown(valkey_url, "feed_unavailable")


def test_relayer_shuts_down_without_redis() -> None:
    check_shutdown(f"redis://127.0.0.1:{free_port()}/0", "relayer_started")


def check_shutdown(redis_url: str, event: str) -> None:
    """Start a relayer without Toss, stop it after it logged the event, and wait for its end."""
    with process("-m", "relayer", **environment_for(redis_url, free_port())) as relayer:
        assert relayer.stdout is not None
        assert any(event in line for line in iter(relayer.stdout.readline, ""))
        stop_process(relayer, signal.SIGTERM)

    assert relayer.returncode == 0


def test_running_relayer_loads_no_code_that_could_place_an_order(
    valkey_url: str, client: "redis.Redis"
) -> None:
    """Includes the code for metrics and logging."""
    add_subscriptions(client, SAMSUNG)
    port = free_port()
    with (
        sandbox_settings(valkey_url) as environment,
        process("-c", RUN_AND_LIST_MODULES, **environment, METRICS_PORT=str(port)) as relayer,
    ):
        wait_until(
            lambda: client.xlen(keys.TICK_STREAM) > 0,
            what="a trade is in the stream",
        )
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE_S).text
        output = stop_process(relayer, signal.SIGTERM)
    samples = {
        sample.name.removeprefix("stocking_"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert (
        samples["relayer_lease_held"]
        == samples["relayer_connected"]
        == samples["relayer_connections_total"]
        == 1
    )
    assert samples["ticks_written_total"] >= samples["tick_write_lag_seconds_count"] > 0
    assert abs(samples["last_tick_timestamp_seconds"] - time.time()) < 60
    assert samples["process_resident_memory_bytes"] > 0
    names = {family.name for family in FAMILIES if ProcessKind.RELAYER in family.exposed_by}
    assert {name for name in names if name not in text} == set()

    loaded = json.loads(output.splitlines()[-1])
    assert "relayer.feed.stomp_feed" in loaded
    assert [
        name
        for name in loaded
        if name in FORBIDDEN or name.startswith(tuple(f"{each}." for each in FORBIDDEN))
    ] == []


def test_invalid_settings_exit_with_one_sentence_each() -> None:
    with process(
        "-m", "relayer", TOSS_API_URL="https://evil.example", RELAYER_HEARTBEAT_MS="-1"
    ) as relayer:
        output, _ = relayer.communicate(timeout=DEADLINE_S)

    assert relayer.returncode == 2
    assert "TOSS_API_URL: must name one of" in output
    assert "RELAYER_HEARTBEAT_MS" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "url"),
    [
        pytest.param("TOSS_API_URL", "https://api.tossinvest.com", id="Toss's order API"),
        pytest.param("TOSS_API_URL", "http://wts-api.tossinvest.com", id="unencrypted"),
        pytest.param(
            "TOSS_API_URL", "https://wts-api.tossinvest.com.evil.example", id="a similar host"
        ),
        pytest.param(
            "TOSS_WEBSOCKET_URL", "wss://openapi-ws.tossinvest.com/ws/v1", id="the trading socket"
        ),
        pytest.param(
            "TOSS_WEBSOCKET_URL", "ws://realtime-socket.tossinvest.com/ws", id="unencrypted socket"
        ),
    ],
)
def test_only_market_data_addresses_are_accepted(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({name: url})


def test_relayer_code_contains_no_addresses() -> None:
    """Addresses come from checked settings; only the web page's origin, a header, is fixed."""
    named = {text for path in python_files("relayer") for _, text in strings(path) if "://" in text}

    assert named == {WEB_ORIGIN}


def test_codec_imports_only_the_standard_library() -> None:
    """Neither sockets nor clocks: bytes and times are arguments."""
    allowed = sys.stdlib_module_names - {"socket", "ssl", "time", "asyncio", "select"}
    for path in python_files("relayer/stomp"):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(
                name.startswith("relayer.stomp") or name.partition(".")[0] in allowed
                for name in names
            ), path
