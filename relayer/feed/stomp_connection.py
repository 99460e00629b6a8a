"""One WebSocket and its STOMP session: bytes to events in batches, and the session's timers."""

import asyncio
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from relayer.feed.interface import FeedUnavailable
from relayer.stomp import ClientSession, Failed
from relayer.stomp.client_session import Event

SEND_TIMEOUT_S = 5.0
# Maximum wait for events before new deadlines, e.g. of a new receipt, are checked.
WAIT_MAX_S = 1.0
# A server without heart-beats may vanish silently. Longer than any pause between trades while an
# exchange is open.
SILENCE_S = 300.0
# When this many events are queued, reading pauses, which slows down the server.
QUEUED_EVENTS_MAX = 1_000


class StompConnection:
    """Reads from its creation on.

    A separate reading task lets the consumer set one timeout for all events that arrive together.
    """

    def __init__(
        self, socket: ClientConnection, session: ClientSession, *, silence_s: float = SILENCE_S
    ) -> None:
        self.socket = socket
        self.session = session
        self._silence_s = silence_s
        self._received_at = _now()
        self._send_lock = asyncio.Lock()
        self._input_ready = asyncio.Event()
        self._events_taken = asyncio.Event()
        self._aborted = False
        self._reading = asyncio.create_task(self._read())
        # ``next_events`` raises the task's exception; after an abort nobody retrieves it.
        self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())

    async def next_events(self) -> list[Event | Failed]:
        """Wait for events or a timer, run due timers and return the events, often none.

        Raises FeedUnavailable when the connection is closed and all earlier events were returned,
        or when nothing arrived for ``silence_s``.
        """
        if not self.session.events_waiting and not self._reading.done():
            await self._wait()
        self._input_ready.clear()
        if not self._reading.done():
            self._run_due_timers()
            await self.flush()
        events = self.session.events()
        self._events_taken.set()
        if not events and self._reading.done():
            self._reading.result()
        if _now() - self._received_at > self._silence_s:
            raise FeedUnavailable(f"no data for {self._silence_s:g} s")
        return events

    async def flush(self) -> None:
        """Send the session's pending output. Raises FeedUnavailable on failure."""
        if not self.session.has_data_to_send:
            return
        try:
            async with self._send_lock, asyncio.timeout(SEND_TIMEOUT_S):
                for data in self.session.data_to_send():
                    await self.socket.send(data, text=True)
        except ConnectionClosed as closed:
            raise _unavailable(closed) from None
        except TimeoutError:
            raise FeedUnavailable("the server accepts no more data") from None

    async def close(self) -> None:
        """Close the socket cleanly. A caller that cannot wait cancels this and calls ``abort``."""
        await self.socket.close()
        with suppress(FeedUnavailable):
            await self._reading

    def abort(self) -> None:
        """Drop the connection at once."""
        self._aborted = True
        self._events_taken.set()
        self.socket.transport.abort()

    async def _wait(self) -> None:
        now = _now()
        deadline = self.session.deadline
        with suppress(TimeoutError):
            async with asyncio.timeout_at(
                now + WAIT_MAX_S if deadline is None else min(deadline, now + WAIT_MAX_S)
            ):
                await self._input_ready.wait()

    def _run_due_timers(self) -> None:
        now, deadline = _now(), self.session.deadline
        if deadline is not None and now >= deadline:
            self.session.tick(now)

    async def _read(self) -> None:
        try:
            while True:
                data = await self.socket.recv(decode=False)
                self._received_at = _now()
                self.session.receive(data, self._received_at)
                self._input_ready.set()
                if self.session.events_waiting >= QUEUED_EVENTS_MAX and not self._aborted:
                    self._events_taken.clear()
                    await self._events_taken.wait()
        except ConnectionClosed as closed:
            raise _unavailable(closed) from None
        finally:
            self._input_ready.set()


def _unavailable(closed: ConnectionClosed) -> FeedUnavailable:
    detail = "without a close frame" if closed.rcvd is None else f"code {closed.rcvd.code}"
    return FeedUnavailable(f"the server closed the connection: {detail}")


def _now() -> float:
    return asyncio.get_running_loop().time()
