"""gunicorn's threaded worker, with threads for whole requests only.

gunicorn's own gives a thread to a request as soon as its first octet is there, and waits in it for the rest, without an end; and it takes leave of a
connection in the loop that accepts all others, up to two seconds long. So a client or two who send slowly, or do not hang up, hold everybody up.
Here a thread takes what has arrived and waits for nothing: a request that is not whole goes back to the loop, which waits for all of them at once and
within limits of size and time, and one that is whole is read from memory.
"""

import json
import re
import selectors
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from socket import MSG_DONTWAIT, SHUT_WR, SO_SNDBUF, SO_SNDTIMEO, SOL_SOCKET, socket
from typing import Any
from uuid import uuid4

from gunicorn.errors import ConfigError
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from trading.metrics import counting
from trading.rules.problems import MIMETYPE, SHARED_PROBLEMS, problem_members

HEAD_OCTETS_MAX = 32 * 1024
BODY_OCTETS_MAX = 64 * 1024
# From its first octet to its last, and of a new connection until the first.
REQUEST_S = 10.0
# How long a client may take nothing of an answer, and what the kernel holds of it meanwhile (it doubles that): most answers whole, so that a thread
# is done with them at once.
ANSWER_S = 5
ANSWER_OCTETS_HELD = 256 * 1024
# How long, and for how much, a connection is listened to that is being closed, so that its client gets the end of the last answer.
FAREWELL_S = 2.0
FAREWELL_OCTETS_MAX = 64 * 1024
FAREWELLS_MAX = 200

_PIECE_OCTETS = 64 * 1024
_CHUNK_LINE_OCTETS_MAX = 1_024
_TRAILER_OCTETS_MAX = 8 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(;.*)?", re.DOTALL)


class Arrival(Enum):
    """WHOLE: nothing more is needed to answer; of a body whose length is said to be too large nothing is. What follows is no request."""

    PARTIAL = auto()
    WHOLE = auto()
    BROKEN = auto()
    HEAD_TOO_LARGE = auto()
    BODY_TOO_LARGE = auto()


class Arriving:
    """One request as it arrives, in pieces of any size. What is read once is not read again, so that many small pieces cost no more than a large one.

    Only its length is judged. What a request means is for gunicorn, which refuses whatever is ambiguous; a mistake about the length
    here could end a request too early, and never let one wait for another's octets.
    """

    def __init__(self) -> None:
        self.octets = bytearray()
        self.awaits_leave = False
        self._look: Callable[[], Arrival | None] = self._head
        self._at = 0
        self._body = 0

    def add(self, octets: bytes) -> Arrival:
        """How the request stands with these octets behind those before."""
        self.octets += octets
        while (found := self._look()) is None:
            pass
        return found

    def give_leave(self) -> None:
        """The client was told to go on; gunicorn would tell it again."""
        self.awaits_leave = False
        head, end, rest = bytes(self.octets).partition(b"\r\n\r\n")
        kept = _EXPECTS.sub(b"", head + end, count=1)
        self._at -= len(head + end) - len(kept)
        self.octets[:] = kept + rest

    def _head(self) -> Arrival | None:
        end = self.octets.find(b"\r\n\r\n", max(0, self._at - 3))
        self._at = len(self.octets)
        if (end if end >= 0 else len(self.octets)) > HEAD_OCTETS_MAX:
            return Arrival.HEAD_TOO_LARGE
        if end < 0:
            return Arrival.PARTIAL
        head, self._at = bytes(self.octets[: end + 2]), end + 4
        length = _LENGTH.search(head)
        self.awaits_leave = _EXPECTS.search(head) is not None
        if _CODED.search(head):
            self._look = self._chunk
        elif length is None or not 0 < int(length[1]) <= BODY_OCTETS_MAX:
            return Arrival.WHOLE
        else:
            self._at += int(length[1])
            self._look = self._sized_body
        return None

    def _sized_body(self) -> Arrival:
        return Arrival.WHOLE if len(self.octets) >= self._at else Arrival.PARTIAL

    def _chunk(self) -> Arrival | None:
        if len(self.octets) < self._at:
            return Arrival.PARTIAL
        end = self.octets.find(b"\r\n", self._at, self._at + _CHUNK_LINE_OCTETS_MAX)
        if end < 0:
            return (
                Arrival.PARTIAL
                if len(self.octets) - self._at < _CHUNK_LINE_OCTETS_MAX
                else Arrival.BROKEN
            )
        size = _CHUNK_SIZE.fullmatch(bytes(self.octets[self._at : end]))
        if size is None:
            return Arrival.BROKEN
        octets = int(size[1], 16)
        self._body += octets
        if self._body > BODY_OCTETS_MAX:
            return Arrival.BODY_TOO_LARGE
        self._at = end + 2 + octets + 2 if octets else end
        if not octets:
            self._look = self._trailers
        return None

    def _trailers(self) -> Arrival:
        if self.octets.find(b"\r\n\r\n", self._at) >= 0:
            return Arrival.WHOLE
        return (
            Arrival.PARTIAL if len(self.octets) - self._at < _TRAILER_OCTETS_MAX else Arrival.BROKEN
        )


class _Memory(Unreader):
    """What has arrived, and then the end: gunicorn's parser never waits for more. ``ran_out`` says that it would have had to."""

    def __init__(self) -> None:
        super().__init__()
        self.ran_out = False

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - the signature is gunicorn's
        self.ran_out = True
        return b""


class Connection(TConn):
    """A client's connection, and the request that is arriving on it until ``due_at`` (monotonic clock)."""

    def __init__(self, *place: Any, farewell: Callable[[socket], None]) -> None:
        super().__init__(*place)
        self.data_ready = True  # gunicorn's own worker would wait for the first octet.
        self.arriving = Arriving()
        self.due_at = 0.0
        self._memory = _Memory()
        self._farewell = farewell

    def expect(self) -> None:
        """The next request begins now."""
        self.arriving, self.due_at = Arriving(), time.monotonic() + REQUEST_S

    def receive(self) -> Arrival | None:
        """Take what has arrived, without waiting; how the request stands now, None when the client is gone."""
        leftover = self._memory.take_buffered()
        found = self.arriving.add(leftover) if leftover else Arrival.PARTIAL
        if found is Arrival.PARTIAL:
            with suppress(BlockingIOError):
                octets = self.sock.recv(_PIECE_OCTETS, MSG_DONTWAIT)
                if not octets:
                    return None
                found = self.arriving.add(octets)
        if found is Arrival.PARTIAL and self.arriving.awaits_leave:
            _send(self.sock, b"HTTP/1.1 100 Continue\r\n\r\n")
            self.arriving.give_leave()
        return found

    def init(self) -> None:
        """Called by gunicorn before it parses a request."""
        super().init()
        self.parser.unreader = self._memory
        self._memory.unread(bytes(self.arriving.octets))
        self.arriving.octets.clear()

    @property
    def lacks_octets(self) -> bool:
        """Whether not all of the last request was read, so that nobody knows where the next one begins."""
        return self._memory.ran_out

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is gunicorn's
        if graceful:
            self._farewell(self.sock)
        else:
            self.sock.close()


class WholeRequestWorker(ThreadWorker):
    """``handle`` and ``handle_error`` run in threads, everything else in the worker's one loop; and nothing waits in either."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Both in the order in which they end, more or less; of the first those in the poller's hands have True.
        self._arriving: dict[Connection, bool] = {}
        self._leaving: dict[socket, float] = {}

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by gunicorn before it starts anything."""
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError("TLS ends at the proxy: what arrives here is read as it is.")

    def accept(self, listener: socket) -> None:
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setsockopt(SOL_SOCKET, SO_SNDBUF, ANSWER_OCTETS_HELD)
        # By the kernel, as Python's own timeouts ask first whether the socket is ready, and so give the interpreter away once more for each answer.
        client.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("ll", ANSWER_S, 0))
        self.nr_conns += 1
        self.enqueue_req(
            Connection(self.cfg, client, address, listener.getsockname(), farewell=self._take_leave)
        )

    def enqueue_req(self, conn: Connection) -> None:
        """Take up the connection's next request, of which something, all or nothing may be here."""
        conn.expect()
        super().enqueue_req(conn)

    def handle(self, conn: Connection) -> Any:
        """An Arrival where there is nothing to answer yet, None where there never will be; else whether the connection stays."""
        try:
            arrival = conn.receive()
        except OSError:
            arrival = None
        if arrival is Arrival.WHOLE:
            return super().handle(conn) and not conn.lacks_octets
        if arrival not in (None, Arrival.PARTIAL):
            _refuse(conn.sock, _code_of(arrival, conn.arriving))
            return False
        return arrival

    def finish_request(self, conn: Connection, fs: "Future[Any]") -> None:
        result = fs.result() if not (fs.cancelled() or fs.exception()) else False
        if result is Arrival.PARTIAL:
            self._arriving[conn] = True
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._go_on, conn))
            return
        self._arriving.pop(conn, None)
        if result is None:
            self.nr_conns -= 1
            conn.close()
        else:
            super().finish_request(conn, fs)

    def handle_error(self, req: Any, client: socket, addr: Any, exc: Exception) -> None:
        """A request that gunicorn can't read is answered as any other refusal; what was in it is nobody's business, the log's neither."""
        if not isinstance(exc, ParseException) or isinstance(
            exc, (InvalidResponseHeader, InvalidResponseHeaderName)
        ):
            super().handle_error(req, client, addr, exc)
            return
        code = {LimitRequestLine: "uri-too-long", LimitRequestHeaders: "headers-too-large"}.get(
            type(exc)
        )
        # As gunicorn words it; what was sent is taken out of it by the logger (gunicorn.conf.py).
        self.log.warning(f"Invalid request from ip={addr[0] if addr else ''}: {exc}")  # noqa: G004
        _refuse(client, code or "malformed-request")

    def murder_pending(self) -> None:
        """End what is due, as gunicorn's loop asks for between two events."""
        now = time.monotonic()
        for conn in self._overdue(now):
            if conn.arriving.octets:
                _refuse(conn.sock, "request-too-slow")
            del self._arriving[conn]
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
        for client in list(takewhile(lambda client: self._leaving[client] <= now, self._leaving)):
            self._let_go(client)

    def _overdue(self, now: float) -> list[Connection]:
        """Those that are waited for in vain. A worker that ends waits for no request that has not begun."""
        due = (
            takewhile(lambda conn: conn.due_at <= now, self._arriving)
            if self.alive
            else self._arriving
        )
        return [
            conn
            for conn in due
            if self._arriving[conn] and (conn.due_at <= now or not conn.arriving.octets)
        ]

    def _go_on(self, conn: Connection, _client: socket) -> None:
        """More has come of a request."""
        self._arriving[conn] = False
        self.poller.unregister(conn.sock)
        super().enqueue_req(conn)

    def _take_leave(self, client: socket) -> None:
        """Say that nothing more comes, and listen until the client has hung up: a socket that is closed with octets unread destroys the answer."""
        try:
            client.settimeout(0)
            client.shutdown(SHUT_WR)
        except OSError:
            client.close()
            return
        if len(self._leaving) >= FAREWELLS_MAX:
            self._let_go(next(iter(self._leaving)))
        self._leaving[client] = time.monotonic() + FAREWELL_S
        left = [FAREWELL_OCTETS_MAX]
        self.poller.register(client, selectors.EVENT_READ, partial(self._hear_out, left))

    def _hear_out(self, left: list[int], client: socket) -> None:
        try:
            octets = client.recv(_PIECE_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        left[0] -= len(octets)
        if not octets or left[0] < 0:
            self._let_go(client)

    def _let_go(self, client: socket) -> None:
        del self._leaving[client]
        self.poller.unregister(client)
        client.close()


def _code_of(arrival: Arrival, arriving: Arriving) -> str:
    if arrival is Arrival.HEAD_TOO_LARGE:
        return "headers-too-large" if b"\r\n" in arriving.octets else "uri-too-long"
    return {Arrival.BROKEN: "malformed-request", Arrival.BODY_TOO_LARGE: "payload-too-large"}[
        arrival
    ]


def refusal(code: str) -> bytes:
    """The whole answer to a request that no application sees."""
    words = SHARED_PROBLEMS[code]
    request_id = uuid4().hex
    body = json.dumps(
        problem_members(code, words, instance="", request_id=request_id), ensure_ascii=False
    ).encode()
    head = (
        f"HTTP/1.1 {words.status} {HTTPStatus(words.status).phrase}",
        "Connection: close",
        f"Content-Type: {MIMETYPE}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


def _refuse(client: socket, code: str) -> None:
    counting.record(counting.PROBLEMS, code)
    _send(client, refusal(code))


def _send(client: socket, octets: bytes) -> None:
    """As much as the socket takes now: a client that takes nothing gets nothing."""
    with suppress(OSError):
        client.settimeout(0)
        client.send(octets)
