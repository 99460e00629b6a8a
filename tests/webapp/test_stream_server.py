"""The stream behind the real server: its thread is freed when the client goes or takes nothing, and a worker ends in time."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import requests

from launcher.ports import free_port
from tests.books import opened, settings_for
from tests.deadlines import DEADLINE_S
from tests.servers import Process, start_gunicorn, wait_until
from tests.webapp.client import PREFIX, Person, api_on
from trading.database.clock import utc_now
from trading.market.account_events import AccountEvent, AccountStreams, EventKind
from trading.market.connection import connect

SECRET = "a secret of the tests that is long enough for HS256"


@dataclass
class Served:
    """gunicorn with one worker of four threads, two of which streams may hold."""

    port: int
    who: Person
    process: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}/trading/realtime/stream"

    def open(self) -> requests.Response:
        return requests.get(self.url, headers=self.who.headers, stream=True, timeout=DEADLINE_S)

    def is_free(self) -> bool:
        """Whether a stream can be opened now."""
        with self.open() as answer:
            return answer.status_code == 200


@contextmanager
def served(migrated_sqlite: str, valkey_url: str, **more: str) -> Iterator[Served]:
    with opened(settings_for(migrated_sqlite, valkey_url, jwt_secret_key=SECRET)) as books:
        who = api_on(books).person()
    port = free_port()
    variables = {
        "JWT_SECRET_KEY": SECRET,
        "WORKERS": "1",
        "THREADS": "4",
        "STREAM_CLIENTS_MAX": "2",
        **more,
    }
    process = start_gunicorn(port, database_uri=migrated_sqlite, redis_url=valkey_url, **variables)
    server = Served(port, who, process)
    try:
        wait_until(lambda: is_up(port), what="gunicorn is up")
        yield server
    finally:
        process.kill()
        process.wait()


def is_up(port: int) -> bool:
    try:
        return (
            requests.get(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S).status_code == 200
        )
    except requests.RequestException:
        return False


def until(text: str, pieces: Iterator[bytes]) -> bool:
    """Read up to the end of the event with this text; False when the stream ends before."""
    got = b""
    for piece in pieces:
        got += piece
        if text.encode() in got and got.endswith(b"\n\n"):
            return True
    return False


def test_a_thread_is_freed_soon_after_its_client_goes(
    migrated_sqlite: str, valkey_url: str
) -> None:
    with served(migrated_sqlite, valkey_url) as server:
        with server.open() as one, server.open() as two, server.open() as three:
            for answer in (one, two):
                assert until("event: ready", answer.iter_content(1))
            assert three.status_code == 503
            assert three.json()["code"] == "too-many-streams"
        wait_until(server.is_free, what="a place is free again")


def test_a_client_that_never_reads_loses_its_thread(migrated_sqlite: str, valkey_url: str) -> None:
    with (
        served(migrated_sqlite, valkey_url, STREAM_STALL_S="1", STREAM_CLIENTS_MAX="1") as server,
        socket.socket() as silent,
        connect(valkey_url, timeout_s=5) as redis,
    ):
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        silent.connect(("127.0.0.1", server.port))
        silent.sendall(
            f"GET {PREFIX}/trading/realtime/stream HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {server.who.headers['Authorization']}\r\n\r\n".encode()
        )
        wait_until(lambda: not server.is_free(), what="the place is taken")
        streams, number = AccountStreams(redis), 0

        def freed() -> bool:
            nonlocal number
            number += 1
            event = AccountEvent(
                user_id=UUID(server.who.id),
                id=number,
                kind=EventKind.CASH,
                occurred_at=utc_now(),
                data={"text": "x" * 50_000},
            )
            streams.append([event], anew=True)
            return server.is_free()

        wait_until(freed, what="the place is free again")


def test_a_server_that_stops_takes_leave_in_time(migrated_sqlite: str, valkey_url: str) -> None:
    """Before the grace of gunicorn is over, and so before anybody kills it."""
    with served(migrated_sqlite, valkey_url) as server, server.open() as answer:
        pieces = answer.iter_content(1)
        assert until("event: ready", pieces)
        server.process.send_signal(signal.SIGTERM)
        assert until("event: closing", pieces)
        assert server.process.wait(DEADLINE_S) == 0
