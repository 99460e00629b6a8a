"""Client side of one connection.

A session ends with its connection; the subscription ids outlive it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from relayer.stomp.errors import PeerSilent, UnexpectedFrame
from relayer.stomp.frames import Frame, Header, StompCommand
from relayer.stomp.heart_beats import HeartBeat, HeartBeatMonitor
from relayer.stomp.limits import (
    CONNECTED_TIMEOUT_S,
    DEFAULT_LIMITS,
    DISCONNECT_TIMEOUT_S,
    RECEIPT_TIMEOUT_S,
    Limits,
)
from relayer.stomp.session_core import SessionCore
from relayer.stomp.states import CLIENT_RECEIVES, CLIENT_SENDS, State
from relayer.stomp.subscription_ids import SubscriptionIds
from relayer.stomp.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The server accepted the session, in the version that it chose.

    Intervals are in seconds, None if no heart-beats were agreed.
    """

    version: Version
    beat_every_s: float | None
    expect_every_s: float | None


class Message(NamedTuple):
    """A message of a subscription.

    The destination is the requested one, whatever the server wrote.
    """

    destination: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayMessage:
    """A message without a subscription: in flight during UNSUBSCRIBE, or the server's mistake."""

    subscription: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A subscription is confirmed.

    Its receipt or first message arrived, or its deadline passed with a server that sends no
    receipts.
    """

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """Neither receipt nor message arrived in time.

    The session has unsubscribed and subscribed again under a new id.
    """

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReceived:
    """The server's ERROR, after which it closes the connection.

    ``destination`` is what caused it, if the server says so.
    """

    summary: str
    destination: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The disconnect is complete; ``confirmed`` if the server's receipt arrived in time."""

    confirmed: bool


Event = Connected | Message | StrayMessage | Confirmed | Unconfirmed | ErrorReceived | Disconnected


class _Purpose(Enum):
    SUBSCRIBE = auto()
    UNSUBSCRIBE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Awaited:
    purpose: _Purpose
    destination: str
    due_at: float


class ClientSession(SessionCore[Event]):
    """CONNECT, subscriptions with receipts, heart-beats, DISCONNECT.

    Every method raises IllegalAction in a state that does not allow it. ``now`` is a time in
    seconds of one monotonic clock, the same in all calls. ``format_destination`` converts a
    destination to the server's format for SUBSCRIBE. Messages are routed by subscription id, so it
    is never converted back.
    """

    def __init__(
        self,
        ids: SubscriptionIds,
        *,
        heart_beat: HeartBeat,
        limits: Limits = DEFAULT_LIMITS,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        format_destination: Callable[[str], str] = str,
    ) -> None:
        super().__init__(sends=CLIENT_SENDS, receives=CLIENT_RECEIVES, limits=limits)
        self._ids = ids
        self._heart_beat = heart_beat
        self._receipt_timeout_s = receipt_timeout_s
        self._format_destination = format_destination
        self._subscribed: set[str] = set()
        self._awaited: dict[str, _Awaited] = {}
        self._unconfirmed: dict[str, str] = {}
        self._receipt_came = False
        self._message_came = False
        self._deadline_at: float | None = None

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations subscribed on this connection, confirmed or not."""
        return frozenset(self._subscribed)

    def connect(self, *, host: str, headers: tuple[Header, ...], now: float) -> None:
        """Send CONNECT; ``headers`` are server-specific additions to the standard headers."""
        standard = (
            ("accept-version", Version.V1_2),
            ("host", host),
            ("heart-beat", str(self._heart_beat)),
        )
        self._send(StompCommand.CONNECT, (*standard, *headers), now)
        self._deadline_at = now + CONNECTED_TIMEOUT_S

    def subscribe(self, destination: str, *, now: float) -> None:
        """Subscribe with a receipt. Does nothing if already subscribed."""
        if destination in self._subscribed:
            return
        subscription = self._ids.assign(destination)
        receipt = f"{subscription}-sub_receipt"
        headers = (
            ("id", subscription),
            ("destination", self._format_destination(destination)),
            ("receipt", receipt),
        )
        self._send(StompCommand.SUBSCRIBE, headers, now)
        self._subscribed.add(destination)
        self._await(receipt, _Purpose.SUBSCRIBE, destination, now)
        self._unconfirmed[destination] = receipt

    def unsubscribe(self, destination: str, *, now: float) -> None:
        """Unsubscribe. Does nothing if not subscribed."""
        if destination not in self._subscribed:
            return
        subscription = self._ids.assign(destination)
        receipt = f"{subscription}-unsub_receipt"
        self._send(StompCommand.UNSUBSCRIBE, (("id", subscription), ("receipt", receipt)), now)
        self._subscribed.discard(destination)
        self._awaited.pop(self._unconfirmed.pop(destination, ""), None)
        self._ids.release(destination)
        self._await(receipt, _Purpose.UNSUBSCRIBE, destination, now)

    def disconnect(self, *, now: float) -> None:
        """Send DISCONNECT and wait at most a second for its receipt.

        Disconnected follows either way.
        """
        self._send(StompCommand.DISCONNECT, (("receipt", "disconnect-1"),), now)
        self._deadline_at = now + DISCONNECT_TIMEOUT_S
        self._awaited.clear()

    def _await(self, receipt: str, purpose: _Purpose, destination: str, now: float) -> None:
        self._awaited[receipt] = _Awaited(
            purpose=purpose, destination=destination, due_at=now + self._receipt_timeout_s
        )

    def _handle_frame(self, frame: Frame, next_state: State, now: float) -> None:
        match frame.command:
            case StompCommand.MESSAGE:
                self._handle_message(frame)
            case StompCommand.RECEIPT:
                next_state = self._handle_receipt(frame, next_state)
            case StompCommand.CONNECTED:
                self._handle_connected(frame, now)
            case _:
                self._handle_error(frame)
        self.state = next_state

    def _handle_message(self, frame: Frame) -> None:
        subscription = frame.header("subscription")
        destination = self._ids.destination(subscription)
        if destination is None or destination not in self._subscribed:
            self._events.append(StrayMessage(subscription=subscription))
            return
        self._message_came = True
        if destination in self._unconfirmed:
            self._confirm(destination)
        self._events.append(Message(destination=destination, body=frame.body))

    def _handle_receipt(self, frame: Frame, next_state: State) -> State:
        receipt = frame.header("receipt-id")
        if receipt is None:
            raise UnexpectedFrame("RECEIPT names no receipt")
        self._receipt_came = True
        if next_state is State.DISCONNECTING:
            if receipt != "disconnect-1":
                return next_state
            self._events.append(Disconnected(confirmed=True))
            return State.CLOSED
        awaited = self._awaited.pop(receipt, None)
        # A receipt after its deadline, or after the first message, adds nothing.
        if awaited is not None and awaited.purpose is _Purpose.SUBSCRIBE:
            self._confirm(awaited.destination)
        return next_state

    def _confirm(self, destination: str) -> None:
        self._awaited.pop(self._unconfirmed.pop(destination), None)
        self._events.append(Confirmed(destination=destination))

    def _handle_connected(self, frame: Frame, now: float) -> None:
        try:
            # A 1.0 server sends no version.
            version = Version(frame.header("version") or Version.V1_0)
        except ValueError:
            raise UnexpectedFrame("the server uses an unknown version") from None
        self._parser.version = version
        remote = HeartBeat.parse(frame.header("heart-beat"))
        monitor = HeartBeatMonitor(local=self._heart_beat, remote=remote, now=now)
        self._monitor = monitor
        self._deadline_at = None
        self._events.append(
            Connected(
                version=version,
                beat_every_s=monitor.send_interval_s,
                expect_every_s=monitor.expect_interval_s,
            )
        )

    def _handle_error(self, frame: Frame) -> None:
        awaited = self._awaited.get(frame.header("receipt-id") or "")
        summary = frame.header("message") or frame.body.decode(errors="replace")
        self._events.append(
            ErrorReceived(
                summary=summary, destination=None if awaited is None else awaited.destination
            )
        )

    def _expire(self, now: float) -> None:
        if self._deadline_at is not None and now >= self._deadline_at:
            if self.state is State.DISCONNECTING:
                self.state = State.CLOSED
                self._events.append(Disconnected(confirmed=False))
            else:
                self._fail(PeerSilent("no answer to CONNECT came in time"))
            return
        for receipt, awaited in list(self._awaited.items()):
            # All receipts have the same timeout, so the first that is not due ends the search.
            if now < awaited.due_at:
                break
            del self._awaited[receipt]
            if awaited.purpose is _Purpose.SUBSCRIBE:
                self._handle_missing_receipt(awaited.destination, now)

    def _handle_missing_receipt(self, destination: str, now: float) -> None:
        if self._message_came and not self._receipt_came:
            # Messages arrive and receipts never do: this server sends no receipts, so a missing one
            # is no sign of failure.
            self._confirm(destination)
            return
        # Sent back to back, so no message of the destination is lost between the two.
        self.unsubscribe(destination, now=now)
        self.subscribe(destination, now=now)
        self._events.append(Unconfirmed(destination=destination))

    def _next_expiry(self) -> float | None:
        if self._deadline_at is not None:
            return self._deadline_at
        return next((awaited.due_at for awaited in self._awaited.values()), None)
