"""Slow, silent and malformed clients do not affect other clients."""

import http.client
import json
import os
import re
import socket
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import requests

from launcher.ports import LOOPBACK
from tests.front_door.conftest import THREADS, Stack
from tests.support.servers import wait_until

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# For each kind: the first bytes, the bytes added each second, and the answer: nothing before the
# disconnect, or a status (400 is Caddy's own). read_header and read_body end all after 10 s.
SLOW = {
    "half a request line": (b"GET /heal", b"", 400),
    "a header without an end": (GET + b"X-Slow: ", b"a", None),
    "a body that does not come": (POST + b"Content-Length: 1000\r\n\r\n", b"", 408),
    "a body that drips": (POST + b"Content-Length: 1000\r\n\r\n", b" ", 408),
    "chunks that drip": (CHUNKED, b"1\r\n \r\n", 408),
    "a 100-continue that is not used": (
        POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        b"",
        408,
    ),
}


def connected(port: int, octets: bytes = b"") -> socket.socket:
    connection = socket.create_connection((LOOPBACK, port), timeout=60)
    connection.sendall(octets)
    return connection


def answer_to(port: int, octets: bytes) -> tuple[int, bytes]:
    """Return status and body of the first answer."""
    with closing(connected(port)) as connection:
        with suppress(ConnectionError):  # The answer may come before all is sent.
            connection.sendall(octets)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = b""
        with suppress(ConnectionError):
            while octets := answer.read(65_536):
                body += octets
        return answer.status, body


def read_all(connection: socket.socket) -> bytes:
    """Return the data until the other side closes."""
    received = b""
    with suppress(ConnectionError):
        while octets := connection.recv(65_536):
            received += octets
    return received


@pytest.mark.parametrize("kind", SLOW)
def test_16_slow_clients_occupy_no_thread_and_are_disconnected(door: Stack, kind: str) -> None:
    """With two API threads, other requests would not be answered if slow clients occupied them."""
    begun, more, status = SLOW[kind]
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connected(door.port, begun))) for _ in range(16)]
        for _ in range(3):
            assert door.answers()
            for connection in slow if more else ():
                connection.sendall(more)
            assert door.answers()
        for connection in slow:
            received = read_all(connection).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert received.startswith(b"HTTP/1.1 %d " % status if status else b""), received
            if status:
                assert status == 400 or b'"code":"request-too-slow"' in received
            else:
                assert received == b""
    assert door.answers()


def test_client_that_sends_slowly_without_pauses_is_disconnected(door: Stack) -> None:
    """The deadline is that of the whole body; single bytes do not extend it."""
    with closing(connected(door.port, POST + b"Content-Length: 60000\r\n\r\n")) as connection:
        connection.settimeout(0.2)
        began, received = time.monotonic(), b""
        while not received and time.monotonic() < began + 120:
            with suppress(TimeoutError):
                connection.sendall(b" ")
                received = connection.recv(65_536)
    assert received.startswith(b"HTTP/1.1 408 ")


def test_idle_connections_do_not_block_others(door: Stack) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(closing(connected(door.port)))
        kept = [stack.enter_context(closing(connected(door.port, GET + b"\r\n"))) for _ in range(8)]
        assert all(connection.recv(65_536).startswith(b"HTTP/1.1 200") for connection in kept)
        assert door.answers()


def test_clients_that_read_nothing_occupy_no_thread(door: Stack) -> None:
    """The front door buffers answers of usual length beyond the kernel's buffers."""
    with ExitStack() as stack:
        for _ in range(8 * THREADS):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            connection.connect((LOOPBACK, door.port))
            stack.enter_context(closing(connection))
            connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(door.answers, what="others are answered", deadline_s=60)


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (GET + b"X : a\r\n\r\n", 400),
        (GET + b"X: a\x00b\r\n\r\n", 400),
        (GET + b"X\r\n\r\n", 400),
        (GET + b"Host: y\r\n\r\n", 400),
        (b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (GET + b"X: a\r\n" * 9_000, 431),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
        (POST + b"Content-Length: +2\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"Expect: tea\r\n\r\n", 417),
    ],
    ids=lambda value: (
        re.sub(rb"(.)\1{9,}", rb"\1*", value[-60:]).decode("latin-1")
        if isinstance(value, bytes)
        else None
    ),
)
def test_malformed_requests_never_reach_the_api(door: Stack, octets: bytes, status: int) -> None:
    """Caddy answers them itself and discloses nothing of the API."""
    found, body = answer_to(door.port, octets)

    assert found == status
    assert b"gunicorn" not in body


@pytest.mark.parametrize(
    ("octets", "status", "code"),
    [
        (POST + b"Content-Length: 65537\r\n\r\n", 413, "payload-too-large"),
        (POST + b"Content-Length: 9999999999\r\n\r\n{}", 413, "payload-too-large"),
        (CHUNKED + b"10001\r\n" + b" " * 65_537 + b"\r\n0\r\n\r\n", 413, "payload-too-large"),
        (POST + b"Content-Length: 65536\r\n\r\n{}" + b" " * 65_534, 422, "validation-failed"),
        (CHUNKED + b"10000\r\n{}" + b" " * 65_534 + b"\r\n0\r\n\r\n", 422, "validation-failed"),
        (POST + b"Content-Length: 2\r\n\r\n{}", 422, "validation-failed"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", 422, "validation-failed"),
        (CHUNKED + b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n", 422, "validation-failed"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n", 422, "validation-failed"),
        (CHUNKED + b"2\r\n{}\r\n0\r\nAuthorization: x\r\n\r\n", 422, "validation-failed"),
        (GET + b"X: a\r\n folded\r\n\r\n", 200, None),
        (GET + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 200, None),
        (GET + b"X: a\r\n" * 500 + b"\r\n", 200, None),
        (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed-request"),
    ],
    ids=str,
)
def test_unusual_requests_are_answered_by_the_api(
    door: Stack, octets: bytes, status: int, code: str | None
) -> None:
    found, body = answer_to(door.port, octets)

    assert (found, json.loads(body).get("code")) == (status, code)


@pytest.mark.parametrize(
    "octets",
    [
        CHUNKED + b"2\r\n{}XX0\r\n\r\n",
        CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
        CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2;" + b"a" * 5_000 + b"\r\n{}\r\n0\r\n\r\n",
        POST + b"Trailer: a b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na b: c\r\n\r\n",
    ],
    ids=str,
)
def test_malformed_chunks_are_a_client_error(door: Stack, octets: bytes) -> None:
    status, body = answer_to(door.port, octets)

    assert (status, json.loads(body)["code"]) == (400, "malformed-request")
    assert problems(door).get("internal-error", 0) == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 2\r\n\r\n{}", b"Content-Length: 0\r\n\r\n"])
def test_expectation_is_met_once_by_the_front_door(door: Stack, framing: bytes) -> None:
    with closing(connected(door.port, POST + b"Expect: 100-continue\r\n" + framing)) as connection:
        received = b""
        while b"HTTP/1.1 4" not in received:
            received += connection.recv(65_536)
    interim, _, _ = received.partition(b"HTTP/1.1 4")
    assert interim in (b"", b"HTTP/1.1 100 Continue\r\n\r\n")


def problems(door: Stack) -> dict[str, float]:
    """Return how many problems of each code the API has answered."""
    text = requests.get(f"http://{LOOPBACK}:{door.api_port}/metrics", timeout=60).text
    found = re.findall(r'^stocking_problems_total{code="(.+)"} (\S+)$', text, re.MULTILINE)
    return {code: float(count) for code, count in found}


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    ],
    ids=str,
)
def test_ambiguous_length_does_not_mix_up_requests(door: Stack, framing: bytes) -> None:
    """It is rejected, or chunked encoding wins (RFC 9112 6.3). Later requests get their own
    answers.
    """
    hidden = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: hidden-1\r\n\r\n"
    with closing(connected(door.port, POST + framing + b"0\r\n\r\n" + hidden)) as connection:
        received = connection.recv(65_536)
        assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 422 ", b"HTTP/1.1 501 "))
        for number in range(8):
            own = f"request-{number}"
            answer = requests.get(
                f"{door.url}/nothing/{number}", headers={"X-Request-ID": own}, timeout=60
            )
            assert answer.headers["X-Request-ID"] == own
            assert answer.json()["instance"] == f"/nothing/{number}"


def test_bare_line_feeds_end_lines(door: Stack) -> None:
    """Go accepts them (RFC 9112 2.2) and sends the API the parsed request."""
    octets = b"GET /healthz HTTP/1.1\nHost: x\nX-Request-ID: bare-1234\n\n"
    with closing(connected(door.port, octets)) as connection:
        received = connection.recv(65_536)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"bare-1234" in received


def test_header_cannot_change_the_mount_path(door: Stack) -> None:
    """A hidden path is not reachable by a header that renames it."""
    octets = b"GET /x/readyz HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /x\r\nScript-Name: /x\r\n\r\n"

    assert answer_to(door.port, octets)[0] == 404


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_pipelined_requests_are_all_answered(door: Stack, size: int) -> None:
    three = (
        POST + b"Content-Length: 2\r\n\r\n{}" + GET + b"\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"
    )
    with closing(connected(door.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(three), size):
            connection.sendall(three[start : start + size])
        received = b""
        while len(re.findall(rb"HTTP/1\.1 (?:422|200)", received)) < 3:
            received += connection.recv(65_536)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"422", b"200", b"422"]


def processor_s(door: Stack) -> float:
    """Return the processor time that Caddy and gunicorn have used."""
    pids = [door.processes["front_door"].pid, *door.api_pids()]
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    ticks = sum(int(one[11]) + int(one[12]) for one in fields)
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("extension", [b"", b";" + b"a" * 100], ids=["none", "100 octets"])
def test_tiny_chunks_cost_linear_time(door: Stack, extension: bytes) -> None:
    """Four times the chunks take less than eight times the time; quadratic cost would be sixteen
    times.
    """
    chunk = b"1" + extension + b"\r\n \r\n"

    def cost_of(chunks: int) -> float:
        before = processor_s(door)
        for _ in range(8):
            assert answer_to(door.port, CHUNKED + chunk * chunks + b"0\r\n\r\n")[0] == 400
        return processor_s(door) - before

    few = cost_of(16_000)
    assert cost_of(64_000) < 8 * max(few, 0.1)
    assert problems(door).get("internal-error", 0) == 0


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/stocks/search?q=삼성전자", 400),
        ("/api/v1/stocks/search?종목=1", 400),
        ("/api/v1/stocks/삼성", 401),
        ("/api/v1/trading/realtime/stream?stock_codes=삼성전자", 400),
        ("/api/v1/trading/realtime/stream/삼성", 404),
        ("/ws?종목=1", 400),
        ("/없는/주소", 404),
        ("/없는/주소?종목=1", 400),
    ],
)
def test_letters_without_escapes_are_answered_with_a_problem(
    door: Stack, target: str, status: int, encoding: str
) -> None:
    """In a path they are escaped for the client; in a query they are refused."""
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode(encoding)

    answered, body = answer_to(door.port, request)

    problem = json.loads(body)
    assert (answered, problem["status"]) == (status, status)
    if status == 400:
        assert problem["code"] == "malformed-request"
