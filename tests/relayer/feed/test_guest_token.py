"""The guest token is taken from a good answer and from no other."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from launcher.ports import free_port
from relayer.feed.guest_token import (
    BODY_OCTETS_MAX,
    TOKEN_LENGTH_MAX,
    TOKEN_PATH,
    TokenUnavailable,
    fetch_guest_token,
)
from tests.relayer.harness import toss
from tests.support.deadlines import DEADLINE_S


@contextmanager
def answering(
    status: int, body: bytes, headers: dict[str, str] | None = None, *, stays: bool = False
) -> Iterator[str]:
    """A server that gives this answer to the one request that the relayer may make; gives its address. What ``stays`` leaves its connection open."""
    left = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == TOKEN_PATH else 418)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            if stays:
                left.wait(DEADLINE_S)

        def log_message(self, *_: object) -> None:
            """The test's output stays clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            left.set()
            server.shutdown()
            thread.join()


async def test_each_fetch_gives_a_new_token_of_the_sandbox() -> None:
    async def fetch_twice() -> tuple[str, str, bool]:
        async with toss() as stand_in:
            url = f"http://127.0.0.1:{stand_in.port}"
            first, second = await fetch_guest_token(url), await fetch_guest_token(f"{url}/")
            return first, second, stand_in.server.knows_token(second)

    first, second, known = await fetch_twice()

    assert first != second
    assert known


async def test_the_longest_token_passes() -> None:
    token = "x" * TOKEN_LENGTH_MAX
    with answering(200, json.dumps({"result": token}).encode()) as url:
        assert await fetch_guest_token(url) == token


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        pytest.param(403, b'{"result":"token"}', {}, id="forbidden"),
        pytest.param(302, b"", {"Location": "http://127.0.0.1:1/"}, id="redirected elsewhere"),
        pytest.param(200, b"<html>", {}, id="no JSON"),
        pytest.param(200, b"[" * BODY_OCTETS_MAX, {}, id="absurdly deep JSON"),
        pytest.param(200, b'["token"]', {}, id="no object"),
        pytest.param(200, b'{"result":null}', {}, id="no token"),
        pytest.param(200, b'{"result":""}', {}, id="an empty token"),
        pytest.param(200, b'{"result":7}', {}, id="a number"),
        pytest.param(200, b'{"result":"a\\nb"}', {}, id="a token that would break a header"),
        pytest.param(
            200,
            json.dumps({"result": "x" * (TOKEN_LENGTH_MAX + 1)}).encode(),
            {},
            id="a token too long",
        ),
        pytest.param(
            200,
            json.dumps({"result": "x", "more": "y" * BODY_OCTETS_MAX}).encode(),
            {},
            id="a body too long",
        ),
    ],
)
async def test_a_bad_answer_gives_no_token(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    with answering(status, body, headers) as url, pytest.raises(TokenUnavailable):
        await fetch_guest_token(url)


async def test_a_redirects_body_is_not_read() -> None:
    """It never comes, and the library would wait for it only to throw it away."""
    elsewhere = {"Location": "http://127.0.0.1:1/", "Content-Length": "1000"}
    with (
        answering(302, b"", elsewhere, stays=True) as url,
        pytest.raises(TokenUnavailable, match="answered 302"),
    ):
        await fetch_guest_token(url)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Length": "1000"}, id="a body that breaks off"),
        pytest.param({"Content-Encoding": "gzip"}, id="a body that can't be unpacked"),
        pytest.param({"Transfer-Encoding": "chunked"}, id="chunks that are none"),
    ],
)
async def test_a_broken_body_gives_no_token(headers: dict[str, str]) -> None:
    """Faults of the body come late, after a good status line, and must not leave the relayer waiting."""
    with answering(200, b'{"result":"token"}', headers) as url, pytest.raises(TokenUnavailable):
        await fetch_guest_token(url)


async def test_no_server_gives_no_token() -> None:
    with pytest.raises(TokenUnavailable):
        await fetch_guest_token(f"http://127.0.0.1:{free_port()}")
