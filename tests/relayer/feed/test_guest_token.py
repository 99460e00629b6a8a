"""The guest token is taken from valid responses only."""

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
    """Serve one request with this response and yield the server's address.

    If ``stays``, the connection stays open after the response.
    """
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
            """Keep the test output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            left.set()
            server.shutdown()
            thread.join()


async def test_each_fetch_returns_a_new_token() -> None:
    async with toss() as stand_in:
        url = f"http://127.0.0.1:{stand_in.port}"
        first, second = await fetch_guest_token(url), await fetch_guest_token(f"{url}/")
        assert first != second
        assert stand_in.server.knows_token(second)


async def test_the_longest_token_is_accepted() -> None:
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
async def test_an_invalid_response_is_rejected(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    with answering(status, body, headers) as url, pytest.raises(TokenUnavailable):
        await fetch_guest_token(url)


async def test_the_body_of_a_redirect_is_not_read() -> None:
    """It never arrives, and the library would wait for it only to discard it."""
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
async def test_a_broken_body_is_rejected(headers: dict[str, str]) -> None:
    """Body errors follow a valid status line and must not block the relayer."""
    with answering(200, b'{"result":"token"}', headers) as url, pytest.raises(TokenUnavailable):
        await fetch_guest_token(url)


async def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(TokenUnavailable):
        await fetch_guest_token(f"http://127.0.0.1:{free_port()}")
