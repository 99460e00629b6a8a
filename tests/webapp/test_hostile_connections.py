"""Clients that are slow, silent, do not hang up or speak no HTTP, on real sockets against the real gunicorn: nobody else notices."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest
import requests

from launcher.ports import LOOPBACK, free_port
from tests.servers import Valkey, start_gunicorn, wait_until
from webapp.security_headers import HEADERS

THREADS = 2
PROMPT_S = 2.0
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

# What a client begins with and then goes on with an octet at a time, or not at all.
SLOW = {
    "silence": (b"", b""),
    "half a request line": (b"GET /heal", b""),
    "a header without an end": (GET + b"X-Slow: ", b"a"),
    "a body that does not come": (POST + b"Content-Length: 1000\r\n\r\n", b" "),
    "chunks that do not come": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "leave that is not used": (POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n", b""),
}


@pytest.fixture(scope="module")
def port(migrated_sqlite: str, valkey_server: Valkey) -> Iterator[int]:
    """gunicorn with one process of two threads: were one client to hold a thread, two would hold them all."""
    port = free_port()
    variables = {"WORKERS": "1", "THREADS": str(THREADS), "RATE_LIMITS": "0"}
    process = start_gunicorn(
        port, database_uri=migrated_sqlite, redis_url=valkey_server.url, **variables
    )
    try:
        wait_until(lambda: is_prompt(port), what="gunicorn is up", deadline_s=60)
        yield port
    finally:
        process.kill()
        process.wait()


def is_prompt(port: int) -> bool:
    """Whether somebody else is answered soon."""
    with suppress(requests.RequestException):
        return (
            requests.get(f"http://{LOOPBACK}:{port}/healthz", timeout=PROMPT_S).status_code == 200
        )
    return False


def connected(port: int, octets: bytes = b"") -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), timeout=20)
    connection.sendall(octets)
    return connection


def answer_to(port: int, octets: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the first answer."""
    with closing(connected(port, octets)) as connection:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        while len(body) < int(headers.get("Content-Length", 0)):
            body += connection.recv(65_536)
    return int(lines[0].split()[1]), headers, body


def counted(port: int) -> dict[str, float]:
    """How often the API says to have answered each problem, by code. A text is kept for a second; the next one has the last request for it, too."""
    texts = [requests.get(f"http://{LOOPBACK}:{port}/metrics", timeout=20).text]
    wait_until(lambda: _differs(texts, port), what="a text that is made now")
    found = re.findall(r'^stocking_problems_total{code="(.+)"} (\S+)$', texts[-1], re.MULTILINE)
    return {code: float(count) for code, count in found}


def _differs(texts: list[str], port: int) -> bool:
    texts.append(requests.get(f"http://{LOOPBACK}:{port}/metrics", timeout=20).text)
    return texts[-1] != texts[0]


def test_slow_clients_hold_nobody_up_and_are_ended(port: int) -> None:
    """Forty of them, of every kind at once, take no thread; each is told that it was too slow, and counted, or cut, about ten seconds after it began."""
    before, too_slow = counted(port)["request-too-slow"], 0
    with ExitStack() as stack:
        slow = [
            (stack.enter_context(closing(connected(port, begun))), more)
            for begun, more in list(SLOW.values()) * 7
        ]
        began = sent = time.monotonic()
        waiting = dict(slow)
        while waiting and time.monotonic() - began < 15:
            assert is_prompt(port)
            dripping = time.monotonic() - sent > 1
            sent = time.monotonic() if dripping else sent
            for connection, more in list(waiting.items()):
                connection.settimeout(0)
                if dripping:
                    with suppress(OSError):
                        connection.sendall(more)
                try:
                    told = connection.recv(4_096)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    told = b""
                if not told.startswith(b"HTTP/1.1 100"):
                    assert told == b"" or told.startswith(b"HTTP/1.1 408"), told
                    too_slow += bool(told)
                    del waiting[connection]
        assert not waiting
        assert 9 < time.monotonic() - began < 15
    assert too_slow > 10
    wait_until(
        lambda: counted(port)["request-too-slow"] == before + too_slow,
        what="all of them are counted",
    )


def test_what_no_application_sees_is_counted_too(port: int) -> None:
    """By its code, as all problems are."""
    refused = {
        "malformed-request": b"GET /healthz\r\n\r\n",
        "uri-too-long": b"GET /" + b"a" * 50_000,
        "headers-too-large": GET + b"X: a\r\n" * 65 + b"\r\n",
        "payload-too-large": POST + b"Transfer-Encoding: chunked\r\n\r\n10001\r\n",
    }
    before = counted(port)

    assert {json.loads(answer_to(port, octets)[2])["code"] for octets in refused.values()} == set(
        refused
    )

    wait_until(
        lambda: all(counted(port)[code] == before[code] + 1 for code in refused),
        what="they are counted",
    )


def test_clients_that_do_not_hang_up_hold_nobody_up(port: int) -> None:
    """Taking leave of a connection is waited for by nobody else: twenty a second, which keep their ends open, cost the others nothing."""
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(closing(connected(port, GET + b"Connection: close\r\n\r\n")))
            assert is_prompt(port)


def test_clients_that_take_nothing_hold_nobody_up(port: int) -> None:
    """An answer of any usual length is handed over at once, whether it is taken or not."""
    with ExitStack() as stack:
        for _ in range(2 * THREADS):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            connection.connect((LOOPBACK, port))
            stack.enter_context(closing(connection))
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: is_prompt(port), what="others are answered", deadline_s=PROMPT_S * 3)


@pytest.mark.parametrize(
    ("octets", "status", "code"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400, "malformed-request"),
        (b"GET /healthz\r\n\r\n", 400, "malformed-request"),
        (GET + b"X : a\r\n\r\n", 400, "malformed-request"),
        (GET + b"X: a\x00b\r\n\r\n", 400, "malformed-request"),
        (GET + b"Host: y\r\n\r\n", 400, "malformed-request"),
        (GET + b"Expect: tea\r\n\r\n", 400, "malformed-request"),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri-too-long"),
        (b"GET /" + b"a" * 50_000, 414, "uri-too-long"),
        (GET + b"X: " + b"a" * 9_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (GET + b"X: a\r\n" * 65 + b"\r\n", 431, "headers-too-large"),
        (GET + b"X: a\r\n" * 9_000, 431, "headers-too-large"),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400, "malformed-request"),
        (
            POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "malformed-request",
        ),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 422, "validation-failed"),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            400,
            "malformed-request",
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
            400,
            "malformed-request",
        ),
        (POST + b"Content-Length: 100000\r\n\r\n", 413, "payload-too-large"),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n{}", 413, "payload-too-large"),
        (
            POST
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"8000\r\n"
            + b" " * 32_768
            + b"\r\n"
            + b"8001\r\n",
            413,
            "payload-too-large",
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            422,
            "validation-failed",
        ),
        (POST + b"Content-Length: 2\r\n\r\n{}", 422, "validation-failed"),
    ],
    ids=lambda value: (
        re.sub(rb"(.)\1{9,}", rb"\1*", value[-60:]).decode("latin-1")
        if isinstance(value, bytes)
        else None
    ),
)
def test_what_is_no_request_is_a_problem(port: int, octets: bytes, status: int, code: str) -> None:
    """Also where no application has seen it: the right status, a stable code, and not a word about the software."""
    found, headers, body = answer_to(port, octets)

    assert (found, json.loads(body)["code"]) == (status, code)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Content-Type-Options"] == HEADERS["X-Content-Type-Options"]
    assert headers["Cache-Control"] == "no-store"
    assert "gunicorn" not in body.decode()


def test_a_header_mounts_the_application_nowhere(port: int) -> None:
    """A proxy that keeps a path from strangers is not got around by a header that renames it."""
    status, _, _ = answer_to(port, b"GET /x/readyz HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /x\r\n\r\n")

    assert status == 404


def test_requests_behind_one_another_are_all_answered(port: int) -> None:
    """On one connection, in any pieces; and after a body that was not taken nothing more is, as nobody knows where it ends."""
    three = (
        POST
        + b"Content-Length: 2\r\n\r\n{}"
        + GET
        + b"\r\n"
        + POST
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    for size in (1, 7, 1_000):
        with closing(connected(port)) as connection:
            for start in range(0, len(three), size):
                connection.sendall(three[start : start + size])
            received = b""
            while len(re.findall(rb"HTTP/1.1 (?:422|200)", received)) < 3:
                received += connection.recv(65_536)
        assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"422", b"200", b"422"]
    with closing(
        connected(port, POST + b"Content-Length: 70000\r\n\r\n" + GET + b"\r\n")
    ) as connection:
        received = b""
        while octets := connection.recv(65_536):
            received += octets
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"413"]
