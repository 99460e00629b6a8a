"""Routes of the front door, hidden paths, and answers while a server is down."""

import gzip
import json
import os
import re
import signal
from pathlib import Path
from uuid import UUID

import pytest
import requests
from websockets.sync.client import connect

from launcher.plan import ROOT
from tests.front_door.conftest import Stack, stack
from tests.push_gateway.harness import User
from tests.support.servers import wait_until
from webapp.http.problems import _TABLE as PROBLEMS
from webapp.http.problems import MIMETYPE

STREAM = "/api/v1/trading/realtime/stream"


def problem(answer: requests.Response, status: int, code: str) -> None:
    """Check the form of an error."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, MIMETYPE), answer.text
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"/docs/problems#{code}"
    assert (body["title"], body["detail"]) == (PROBLEMS[code].title, PROBLEMS[code].detail)
    assert body["instance"] == answer.request.path_url.partition("?")[0]
    assert body["request_id"] == answer.headers["X-Request-ID"]


def test_errors_have_the_texts_of_the_api() -> None:
    """The Caddyfile repeats them because it cannot read the table."""
    text = (ROOT / "deploy/Caddyfile").read_text()
    rows = re.findall(r'^\t+(?:"~.+"|default) (\d+) ([a-z-]+) "(.+)" "(.+)"$', text, re.MULTILINE)

    assert len(rows) == 9
    for status, code, title, detail in rows:
        words = PROBLEMS[code]
        assert (int(status), title, detail) == (words.status, words.title, words.detail)


def test_one_origin_serves_everything(door: Stack) -> None:
    page = requests.get(f"{door.url}/", timeout=30)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/docs/"' in page.text
    assert requests.get(f"{door.url}/docs", timeout=30).status_code == 200
    clock = requests.get(f"{door.url}/api/v1/market/clock", timeout=30)
    assert clock.json()["success"] is True
    assert requests.post(f"{door.url}/", timeout=30).status_code == 404


def test_built_web_client_is_served(migrated_sqlite: str, valkey_url: str, tmp_path: Path) -> None:
    root = tmp_path / "built here"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>client</title>")
    (root / "assets" / "main.js").write_text("1")
    with stack(migrated_sqlite, valkey_url, tmp_path, gateway=False, WEB_ROOT=str(root)) as running:
        assert "client" in requests.get(f"{running.url}/", timeout=30).text
        script = requests.get(f"{running.url}/assets/main.js", timeout=30)
        assert script.headers["Content-Type"].startswith("text/javascript")
        problem(requests.get(f"{running.url}/assets/none.js", timeout=30), 404, "not-found")
        assert requests.get(f"{running.url}/api/v1/market/clock", timeout=30).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "//metrics", "/%6detrics", "/METRICS"])
def test_operator_paths_are_hidden(door: Stack, path: str) -> None:
    answer = requests.get(door.url + path, timeout=30)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"
    direct = f"http://127.0.0.1:{door.api_port}/metrics"
    assert requests.get(direct, timeout=30).status_code == 200


def test_answers_except_event_streams_are_compressed(door: Stack) -> None:
    with requests.get(f"{door.url}/openapi.json", timeout=60, stream=True) as answer:
        packed = answer.raw.read(decode_content=False)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed))["openapi"].startswith("3.")
    headers = {"Authorization": f"Bearer {User().token()}", "Accept-Encoding": "gzip"}
    with requests.get(door.url + STREAM, headers=headers, timeout=30, stream=True) as answer:
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_events_are_forwarded_at_once(door: Stack) -> None:
    """The first event arrives although the stream is open and no buffer is full."""
    headers = {"Authorization": f"Bearer {User().token()}"}
    with requests.get(door.url + STREAM, headers=headers, timeout=30, stream=True) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(b"event")) == b"event: ready"


def test_disconnect_of_a_client_frees_its_connection(door: Stack) -> None:
    """At once, and not only when the next keep-alive comment fails."""
    health = f"http://127.0.0.1:{door.gateway_port}/healthz"
    headers = {"Authorization": f"Bearer {User().token()}"}
    before = requests.get(health, timeout=30).json()["clients"]
    with requests.get(door.url + STREAM, headers=headers, timeout=30, stream=True) as answer:
        assert next(answer.iter_lines())
    wait_until(
        lambda: requests.get(health, timeout=30).json()["clients"] <= before,
        what="the place is free",
        deadline_s=60,
    )


def test_websocket_is_forwarded(door: Stack) -> None:
    url = door.url.replace("http", "ws") + "/ws"
    with connect(url, origin=door.url, open_timeout=30) as websocket:
        websocket.send(json.dumps({"type": "auth", "token": User().token()}))
        assert json.loads(websocket.recv(timeout=30))["type"] == "ready"


def test_valid_request_ids_are_kept_and_others_replaced(door: Stack) -> None:
    for path in ("/healthz", "/metrics", "/", STREAM):
        own = requests.get(door.url + path, headers={"X-Request-ID": "mine-12345"}, timeout=30)
        assert own.headers["X-Request-ID"] == "mine-12345"
        other = requests.get(door.url + path, headers={"X-Request-ID": "<b>"}, timeout=30)
        assert UUID(other.headers["X-Request-ID"])


@pytest.mark.parametrize("method", ["M" * 33, "M" * 20_000], ids=["33", "20000"])
def test_method_that_caddy_rejects_is_a_problem(door: Stack, method: str) -> None:
    """Caddy rejects it before it runs the site's directives."""
    for headers in ({}, {"X-Request-ID": "mine-12345"}):
        answer = requests.request(method, f"{door.url}/healthz", headers=headers, timeout=30)
        problem(answer, 405, "method-not-allowed")
        own = answer.headers["X-Request-ID"]
        assert own == headers["X-Request-ID"] if headers else UUID(own)


def test_errors_escape_the_path_as_json(door: Stack) -> None:
    """The path may contain quotes and template placeholders."""
    path = "/%22%7B%7B1%7D%7D%0A/%ff"
    answer = requests.post(door.url + path, data=b"x" * 70_000, timeout=30)

    assert answer.status_code == 413
    assert answer.json()["instance"].startswith('/"{{1}}\n/')


def test_stopped_server_is_a_problem(migrated_sqlite: str, valkey_url: str, tmp_path: Path) -> None:
    with stack(migrated_sqlite, valkey_url, tmp_path, gateway=False) as running:
        answer = requests.get(running.url + STREAM, timeout=30)
        problem(answer, 503, "service-unavailable")
        assert answer.headers["Retry-After"] == "1"
        for pid in running.api_pids():
            os.kill(pid, signal.SIGKILL)
        problem(
            requests.get(f"{running.url}/api/v1/market/clock", timeout=30),
            503,
            "service-unavailable",
        )
        assert requests.get(f"{running.url}/", timeout=30).status_code == 200


@pytest.mark.full
def test_hanging_server_is_a_problem(migrated_sqlite: str, valkey_url: str, tmp_path: Path) -> None:
    """After response_header_timeout, 30 s."""
    with stack(migrated_sqlite, valkey_url, tmp_path, gateway=False) as running:
        stopped = running.api_pids()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            problem(
                requests.get(f"{running.url}/api/v1/market/clock", timeout=100),
                504,
                "gateway-timeout",
            )
        finally:
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)


def test_front_door_stops_within_its_grace_period(
    migrated_sqlite: str, valkey_url: str, tmp_path: Path
) -> None:
    """Even with an open event stream."""
    with stack(migrated_sqlite, valkey_url, tmp_path) as running:
        headers = {"Authorization": f"Bearer {User().token()}"}
        with requests.get(running.url + STREAM, headers=headers, timeout=30, stream=True) as answer:
            assert next(answer.iter_lines())
            running.processes["front_door"].terminate()
            assert running.processes["front_door"].wait(timeout=60) == 0
    assert "grace_period 3s" in (ROOT / "deploy/Caddyfile").read_text()
