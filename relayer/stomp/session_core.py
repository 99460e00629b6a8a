"""Shared part of client and server sessions: parser, queues, heart-beats, failure."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

from relayer.stomp.errors import IllegalAction, MalformedFrame, PeerSilent, ProtocolError
from relayer.stomp.frames import Frame, Header, StompCommand
from relayer.stomp.heart_beats import HeartBeatMonitor
from relayer.stomp.limits import Limits
from relayer.stomp.parser import Parser
from relayer.stomp.states import Failed, State, Table, after_receiving, after_sending

Event = TypeVar("Event")

BEAT = b"\n"


class SessionCore(ABC, Generic[Event]):
    """Base of both sessions. Subclasses interpret frames and add their own deadlines."""

    def __init__(self, *, sends: Table, receives: Table, limits: Limits) -> None:
        self.state: State = State.NEW
        self._sends = sends
        self._receives = receives
        self._parser = Parser(limits)
        self._outgoing: deque[bytes] = deque()
        self._events: deque[Event | Failed] = deque()
        self._monitor: HeartBeatMonitor | None = None

    @property
    def closed(self) -> bool:
        """Return True if the session has ended."""
        return self.state is State.CLOSED

    def receive(self, data: bytes, now: float) -> None:
        """Process bytes from the peer, whose errors are never raised. Ignored once CLOSED."""
        if self.closed:
            return
        if self._monitor is not None:
            self._monitor.received(now)
        self._parser.receive(data)
        try:
            while (frame := self._next_frame()) is not None:
                next_state = after_receiving(self._receives, self.state, frame.command)
                self._handle_frame(frame, next_state, now)
        except ProtocolError as error:
            self._fail(error)

    def tick(self, now: float) -> None:
        """Run due timers: send a heart-beat, detect a silent peer, expire deadlines.

        Calling it too often is harmless.
        """
        if not self.closed:
            self._expire(now)
        if self.closed or self._monitor is None:
            return
        if self._monitor.dead_at is not None and now >= self._monitor.dead_at:
            self._fail(PeerSilent("no heart-beat came in time"))
        elif self._monitor.beat_due_at is not None and now >= self._monitor.beat_due_at:
            self._outgoing.append(BEAT)
            self._monitor.sent(now)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do if nothing happens before; None without a timer."""
        if self.closed:
            return None
        beats = () if self._monitor is None else (self._monitor.beat_due_at, self._monitor.dead_at)
        return min(
            (instant for instant in (*beats, self._next_expiry()) if instant is not None),
            default=None,
        )

    @property
    def has_data_to_send(self) -> bool:
        """Return True if there is output. Cheap, because it is called for every message."""
        return bool(self._outgoing)

    def data_to_send(self) -> list[bytes]:
        """Return and clear the output queue, oldest first; an item is a frame or a heart-beat."""
        data = list(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def events_waiting(self) -> int:
        """Number of queued events."""
        return len(self._events)

    def events(self) -> list[Event | Failed]:
        """Return and clear the event queue, in order."""
        events = list(self._events)
        self._events.clear()
        return events

    def _next_frame(self) -> Frame | None:
        return None if self.closed else self._parser.next_frame()

    def _send(
        self, command: StompCommand, headers: tuple[Header, ...], now: float, body: bytes = b""
    ) -> None:
        next_state = after_sending(self._sends, self.state, command)
        try:
            data = Frame(command, headers, body).encode(self._parser.version)
        except MalformedFrame as fault:
            raise IllegalAction(str(fault)) from None
        self._outgoing.append(data)
        self.state = next_state
        if self._monitor is not None:
            self._monitor.sent(now)

    def _fail(self, error: ProtocolError) -> None:
        self.state = State.CLOSED
        self._events.append(Failed(error))

    @abstractmethod
    def _handle_frame(self, frame: Frame, next_state: State, now: float) -> None:
        """Handle a frame and move to the state that follows.

        Raises ProtocolError if its content is not allowed.
        """

    @abstractmethod
    def _expire(self, now: float) -> None:
        """Expire the subclass's deadlines."""

    @abstractmethod
    def _next_expiry(self) -> float | None:
        """Return the subclass's next deadline, or None."""
