"""What both ends of a session share: the parser, the queues of bytes and events, the pulse and the way in which a session fails."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Generic, TypeVar

from relayer.stomp.errors import IllegalAction, MalformedFrame, PeerSilent, ProtocolError
from relayer.stomp.frames import Command, Frame, Header
from relayer.stomp.heart_beats import Pulse
from relayer.stomp.limits import Limits
from relayer.stomp.parser import Parser
from relayer.stomp.states import Failed, State, Table, after_receiving, after_sending

Event = TypeVar("Event")

BEAT = b"\n"


class SessionCore(ABC, Generic[Event]):
    """The common half of a client's and a server's session. Subclasses say what a frame means and what time asks beyond beats."""

    def __init__(self, *, sends: Table, receives: Table, limits: Limits) -> None:
        self.state: State = State.NEW
        self._sends = sends
        self._receives = receives
        self._parser = Parser(limits)
        self._outgoing: deque[bytes] = deque()
        self._events: deque[Event | Failed] = deque()
        self._pulse: Pulse | None = None

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        return self.state is State.CLOSED

    def receive(self, data: bytes, now: float) -> None:
        """Bytes from the peer. Never raises for what the peer did; once CLOSED, bytes are ignored."""
        if self.closed:
            return
        if self._pulse is not None:
            self._pulse.heard(now)
        self._parser.receive(data)
        try:
            while (frame := self._next_frame()) is not None:
                following = after_receiving(self._receives, self.state, frame.command)
                self._take(frame, following, now)
        except ProtocolError as error:
            self._fail(error)

    def tick(self, now: float) -> None:
        """Do what is due at ``now``: send a beat, notice a silent peer, let a deadline pass. Harmless when called too often."""
        if not self.closed:
            self._expire(now)
        if self.closed or self._pulse is None:
            return
        if self._pulse.dead_at is not None and now >= self._pulse.dead_at:
            self._fail(PeerSilent("no heart-beat came in time"))
        elif self._pulse.beat_due_at is not None and now >= self._pulse.beat_due_at:
            self._outgoing.append(BEAT)
            self._pulse.sent(now)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, if nothing happens before; None when time asks nothing."""
        if self.closed:
            return None
        beats = () if self._pulse is None else (self._pulse.beat_due_at, self._pulse.dead_at)
        return min(
            (instant for instant in (*beats, self._next_expiry()) if instant is not None),
            default=None,
        )

    @property
    def has_data_to_send(self) -> bool:
        """Whether ``data_to_send`` would give anything: a question for every message received, so a cheap one."""
        return bool(self._outgoing)

    def data_to_send(self) -> list[bytes]:
        """What must go to the peer, oldest first: an item is one frame or one beat. Empties the queue."""
        data = list(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def events_waiting(self) -> int:
        """How many events ``events`` would give."""
        return len(self._events)

    def events(self) -> list[Event | Failed]:
        """What happened since the last call, in order. Empties the queue."""
        events = list(self._events)
        self._events.clear()
        return events

    def _next_frame(self) -> Frame | None:
        return None if self.closed else self._parser.next_frame()

    def _send(
        self, command: Command, headers: tuple[Header, ...], now: float, body: bytes = b""
    ) -> None:
        following = after_sending(self._sends, self.state, command)
        try:
            data = Frame(command, headers, body).encode(self._parser.version)
        except MalformedFrame as fault:
            raise IllegalAction(str(fault)) from None
        self._outgoing.append(data)
        self.state = following
        if self._pulse is not None:
            self._pulse.sent(now)

    def _fail(self, error: ProtocolError) -> None:
        self.state = State.CLOSED
        self._events.append(Failed(error))

    @abstractmethod
    def _take(self, frame: Frame, following: State, now: float) -> None:
        """Move to the state that follows the frame and say what it means. ProtocolError when its content is not allowed."""

    @abstractmethod
    def _expire(self, now: float) -> None:
        """Let deadlines of the subclass pass."""

    @abstractmethod
    def _next_expiry(self) -> float | None:
        """The next deadline of the subclass; None without one."""
