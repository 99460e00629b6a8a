"""HTTP load on one server over persistent connections with one request in flight each.

`measure` runs in its own process, so that it does not compete with the process that started the
servers. A *closed* load sends a connection's next request as soon as its answer has arrived, which
saturates the server. An *open* load sends at given times and measures latencies from the time each
request was due, so that a server that falls behind cannot hide it.
"""

import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from launcher.ports import LOOPBACK

ANSWER_TIMEOUT_S = 30.0


class LoadError(Exception):
    """The server closed a connection, answered with an unexpected status, or did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`requests` are sent in turn, unchanged. `per_s` None is a closed load. Answers other than
    `status` end the run.
    """

    port: int
    requests: Sequence[bytes]
    status: int
    connections: int
    seconds: float
    per_s: float | None = None


@dataclass(slots=True)
class Outcome:
    """Result of a load.

    `answered` counts answers within the time; `latencies_ms` and `locations` include late ones.
    """

    answered: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    locations: list[str] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return self.answered / self.seconds


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    due_at: float = 0.0
    received: bytes = b""


def measure(load: Load) -> Outcome:
    """Send the load and wait for the last answer. Raise LoadError for an unexpected answer."""
    outcome, requests = Outcome(seconds=load.seconds), cycle(load.requests)
    with selectors.DefaultSelector() as selector:
        # First in, first out, so that each connection and each process behind it gets its turn.
        idle = deque(_connect(load, selector) for _ in range(load.connections))
        end = time.perf_counter() + load.seconds
        due_times = _due_times(load, end=end)
        due_at = next(due_times, None)
        while due_at is not None or len(idle) < load.connections:
            while idle and due_at is not None and due_at <= (now := time.perf_counter()):
                connection = idle.popleft()
                connection.due_at = now if load.per_s is None else due_at
                connection.socket.sendall(next(requests))
                due_at = next(due_times, None)
            waits_for_time = bool(idle) and due_at is not None
            wait_s = (
                max(0.0, (due_at or 0.0) - time.perf_counter())
                if waits_for_time
                else ANSWER_TIMEOUT_S
            )
            ready = selector.select(wait_s)
            if not ready and not waits_for_time:
                raise LoadError(f"No answer for {ANSWER_TIMEOUT_S:g} s.")
            idle.extend(
                key.data for key, _events in ready if _is_answered(key.data, load, outcome, end=end)
            )
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return outcome


def _due_times(load: Load, *, end: float) -> Iterator[float]:
    """Yield the due time of each request: random and independent, or at once for a closed load."""
    due_at = time.perf_counter()
    while due_at < end:
        yield due_at
        due_at = (
            time.perf_counter() if load.per_s is None else due_at + random.expovariate(load.per_s)
        )


def _connect(load: Load, selector: selectors.BaseSelector) -> _Connection:
    connection = _Connection(
        socket.create_connection((LOOPBACK, load.port), timeout=ANSWER_TIMEOUT_S)
    )
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    return connection


def _is_answered(connection: _Connection, load: Load, outcome: Outcome, *, end: float) -> bool:
    """Read available data. Return True if it completes the answer, which is then counted."""
    arrived = connection.socket.recv(65_536)
    if not arrived:
        raise LoadError("The server closed a connection.")
    connection.received += arrived
    head, separator, body = connection.received.partition(b"\r\n\r\n")
    if not separator:
        return False
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _colon, value in (line.partition(":") for line in lines)
    }
    if len(body) < int(headers["content-length"]):
        return False
    if int(status_line.split()[1]) != load.status:
        raise LoadError(f"{status_line} instead of {load.status}: {body.decode()}")
    now = time.perf_counter()
    outcome.answered += now <= end
    outcome.latencies_ms.append((now - connection.due_at) * 1_000)
    if "location" in headers:
        outcome.locations.append(headers["location"])
    connection.received = b""
    return True
