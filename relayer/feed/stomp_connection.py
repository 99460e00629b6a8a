"""One socket and the STOMP session on it: octets to events, in batches as large as they arrive, and what time asks in between."""

import asyncio
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from relayer.feed.interface import FeedUnavailable
from relayer.stomp import ClientSession, Failed
from relayer.stomp.client_session import Event

SEND_TIMEOUT_S = 5.0
# How long a wait for events may ignore what became due meanwhile, e.g. a new receipt's deadline.
WAIT_S = 1.0
# A server that promises no heart-beats may be gone without a sign. Longer than any pause between trades while an exchange is open.
SILENCE_S = 300.0
# So many events wait for their reader; then the socket waits, and with it the server.
WAITING_EVENTS_MAX = 1_000


class StompLink:
    """Reads from the moment it is made. A reading task of its own lets whoever takes the events set one timeout for all that came together."""

    def __init__(
        self, socket: ClientConnection, session: ClientSession, *, silence_s: float = SILENCE_S
    ) -> None:
        self.socket = socket
        self.session = session
        self._silence_s = silence_s
        self._heard_at = _now()
        self._sending = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._leaving = False
        self._reading = asyncio.create_task(self._read())
        # Its end is told by ``next_events``; after an abort nobody asks.
        self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())

    async def next_events(self) -> list[Event | Failed]:
        """Wait for events or for what time asks, do what is due, and give what happened; often nothing.

        FeedUnavailable when the connection is closed and everything that came before was given, or when nothing came for ``silence_s``.
        """
        if not self.session.events_waiting and not self._reading.done():
            await self._wait()
        self._arrived.clear()
        if not self._reading.done():
            self._do_what_is_due()
            await self.flush()
        events = self.session.events()
        self._taken.set()
        if not events and self._reading.done():
            self._reading.result()
        if _now() - self._heard_at > self._silence_s:
            raise FeedUnavailable(f"nothing came for {self._silence_s:g} s")
        return events

    async def flush(self) -> None:
        """Send what the session wants sent. FeedUnavailable when that fails."""
        if not self.session.has_data_to_send:
            return
        try:
            async with self._sending, asyncio.timeout(SEND_TIMEOUT_S):
                for data in self.session.data_to_send():
                    await self.socket.send(data, text=True)
        except ConnectionClosed as closed:
            raise _unavailable(closed) from None
        except TimeoutError:
            raise FeedUnavailable("the server takes nothing any more") from None

    async def close(self) -> None:
        """Close the socket in order. Whoever can't wait cancels this and calls ``abort``."""
        await self.socket.close()
        with suppress(FeedUnavailable):
            await self._reading

    def abort(self) -> None:
        """Drop the connection at once."""
        self._leaving = True
        self._taken.set()
        self.socket.transport.abort()

    async def _wait(self) -> None:
        now = _now()
        deadline = self.session.deadline
        with suppress(TimeoutError):
            async with asyncio.timeout_at(
                now + WAIT_S if deadline is None else min(deadline, now + WAIT_S)
            ):
                await self._arrived.wait()

    def _do_what_is_due(self) -> None:
        now, deadline = _now(), self.session.deadline
        if deadline is not None and now >= deadline:
            self.session.tick(now)

    async def _read(self) -> None:
        try:
            while True:
                data = await self.socket.recv(decode=False)
                self._heard_at = _now()
                self.session.receive(data, self._heard_at)
                self._arrived.set()
                if self.session.events_waiting >= WAITING_EVENTS_MAX and not self._leaving:
                    self._taken.clear()
                    await self._taken.wait()
        except ConnectionClosed as closed:
            raise _unavailable(closed) from None
        finally:
            self._arrived.set()


def _unavailable(closed: ConnectionClosed) -> FeedUnavailable:
    how = "without a close frame" if closed.rcvd is None else f"code {closed.rcvd.code}"
    return FeedUnavailable(f"the server closed the connection: {how}")


def _now() -> float:
    return asyncio.get_running_loop().time()
