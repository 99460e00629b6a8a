"""The client's side of one connection. A session ends with its connection; the subscription ids outlive it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from relayer.stomp.errors import PeerSilent, UnexpectedFrame
from relayer.stomp.frames import Command, Frame, Header
from relayer.stomp.heart_beats import HeartBeat, Pulse
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
    """The server took us. The version is its choice, whatever was asked for. Intervals are seconds; None where no beats were agreed."""

    version: Version
    beat_every_s: float | None
    expect_every_s: float | None


class Message(NamedTuple):
    """A message of a subscription of ours; the destination is the one that we asked for, whatever the server wrote."""

    destination: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayMessage:
    """A message of no subscription of ours: still in flight when it was cancelled, or the server's mistake."""

    subscription: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A subscription stands: its receipt or its first message came, or its deadline passed with a server that sends no receipts."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """Neither receipt nor message came in time. The session has withdrawn the subscription and asked for it again, under a new id."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReceived:
    """The server's ERROR, after which it closes. ``destination`` is what caused it, where the server says so."""

    summary: str
    destination: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The farewell is over; ``confirmed`` when the server's receipt came in time, which not every server sends."""

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
    """CONNECT, subscriptions with receipts, beats, DISCONNECT. Every method raises IllegalAction in a state that does not allow it.

    ``now`` is an instant in seconds of one steady clock, the same in all calls. ``spell`` gives a destination as SUBSCRIBE spells
    it for this server; messages are routed by subscription id, so nothing ever needs to be read back from it.
    """

    def __init__(
        self,
        ids: SubscriptionIds,
        *,
        heart_beat: HeartBeat,
        limits: Limits = DEFAULT_LIMITS,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        spell: Callable[[str], str] = str,
    ) -> None:
        super().__init__(sends=CLIENT_SENDS, receives=CLIENT_RECEIVES, limits=limits)
        self._ids = ids
        self._heart_beat = heart_beat
        self._receipt_timeout_s = receipt_timeout_s
        self._spell = spell
        self._subscribed: set[str] = set()
        self._awaited: dict[str, _Awaited] = {}
        self._unconfirmed: dict[str, str] = {}
        self._receipt_came = False
        self._message_came = False
        self._farewell_at: float | None = None

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations asked for on this connection and not withdrawn, confirmed or not yet."""
        return frozenset(self._subscribed)

    def connect(self, *, host: str, headers: tuple[Header, ...], now: float) -> None:
        """Ask for a session; ``headers`` are the server's own wishes beyond the specification's."""
        standard = (
            ("accept-version", Version.V1_2),
            ("host", host),
            ("heart-beat", str(self._heart_beat)),
        )
        self._send(Command.CONNECT, (*standard, *headers), now)
        self._farewell_at = now + CONNECTED_TIMEOUT_S

    def subscribe(self, destination: str, *, now: float) -> None:
        """Ask for a destination, with a receipt. Nothing happens when it is asked for already."""
        if destination in self._subscribed:
            return
        subscription = self._ids.assign(destination)
        receipt = f"{subscription}-sub_receipt"
        headers = (
            ("id", subscription),
            ("destination", self._spell(destination)),
            ("receipt", receipt),
        )
        self._send(Command.SUBSCRIBE, headers, now)
        self._subscribed.add(destination)
        self._await(receipt, _Purpose.SUBSCRIBE, destination, now)
        self._unconfirmed[destination] = receipt

    def unsubscribe(self, destination: str, *, now: float) -> None:
        """Withdraw a destination. Nothing happens when it is not asked for."""
        if destination not in self._subscribed:
            return
        subscription = self._ids.assign(destination)
        receipt = f"{subscription}-unsub_receipt"
        self._send(Command.UNSUBSCRIBE, (("id", subscription), ("receipt", receipt)), now)
        self._subscribed.discard(destination)
        self._awaited.pop(self._unconfirmed.pop(destination, ""), None)
        self._ids.release(destination)
        self._await(receipt, _Purpose.UNSUBSCRIBE, destination, now)

    def disconnect(self, *, now: float) -> None:
        """Say farewell and wait for the receipt, a second at most: the event Disconnected comes either way."""
        self._send(Command.DISCONNECT, (("receipt", "disconnect-1"),), now)
        self._farewell_at = now + DISCONNECT_TIMEOUT_S
        self._awaited.clear()

    def _await(self, receipt: str, purpose: _Purpose, destination: str, now: float) -> None:
        self._awaited[receipt] = _Awaited(
            purpose=purpose, destination=destination, due_at=now + self._receipt_timeout_s
        )

    def _take(self, frame: Frame, following: State, now: float) -> None:
        match frame.command:
            case Command.MESSAGE:
                self._take_message(frame)
            case Command.RECEIPT:
                following = self._take_receipt(frame, following)
            case Command.CONNECTED:
                self._take_connected(frame, now)
            case _:
                self._take_error(frame)
        self.state = following

    def _take_message(self, frame: Frame) -> None:
        subscription = frame.header("subscription")
        destination = self._ids.destination(subscription)
        if destination is None or destination not in self._subscribed:
            self._events.append(StrayMessage(subscription=subscription))
            return
        self._message_came = True
        if destination in self._unconfirmed:
            self._confirm(destination)
        self._events.append(Message(destination=destination, body=frame.body))

    def _take_receipt(self, frame: Frame, following: State) -> State:
        receipt = frame.header("receipt-id")
        if receipt is None:
            raise UnexpectedFrame("RECEIPT names no receipt")
        self._receipt_came = True
        if following is State.DISCONNECTING:
            if receipt != "disconnect-1":
                return following
            self._events.append(Disconnected(confirmed=True))
            return State.CLOSED
        awaited = self._awaited.pop(receipt, None)
        # A receipt may come after its deadline, or after the first message confirmed the subscription: then it says nothing new.
        if awaited is not None and awaited.purpose is _Purpose.SUBSCRIBE:
            self._confirm(awaited.destination)
        return following

    def _confirm(self, destination: str) -> None:
        self._awaited.pop(self._unconfirmed.pop(destination), None)
        self._events.append(Confirmed(destination=destination))

    def _take_connected(self, frame: Frame, now: float) -> None:
        try:
            # A server of 1.0 names no version.
            version = Version(frame.header("version") or Version.V1_0)
        except ValueError:
            raise UnexpectedFrame("the server speaks an unknown version") from None
        self._parser.version = version
        theirs = HeartBeat.parse(frame.header("heart-beat"))
        pulse = Pulse(ours=self._heart_beat, theirs=theirs, now=now)
        self._pulse = pulse
        self._farewell_at = None
        self._events.append(
            Connected(
                version=version,
                beat_every_s=pulse.send_interval_s,
                expect_every_s=pulse.expect_interval_s,
            )
        )

    def _take_error(self, frame: Frame) -> None:
        culprit = self._awaited.get(frame.header("receipt-id") or "")
        summary = frame.header("message") or frame.body.decode(errors="replace")
        self._events.append(
            ErrorReceived(
                summary=summary, destination=None if culprit is None else culprit.destination
            )
        )

    def _expire(self, now: float) -> None:
        if self._farewell_at is not None and now >= self._farewell_at:
            if self.state is State.DISCONNECTING:
                self.state = State.CLOSED
                self._events.append(Disconnected(confirmed=False))
            else:
                self._fail(PeerSilent("no answer to CONNECT came in time"))
            return
        for receipt, awaited in list(self._awaited.items()):
            # All receipts wait equally long, so the first that is not due ends the search.
            if now < awaited.due_at:
                break
            del self._awaited[receipt]
            if awaited.purpose is _Purpose.SUBSCRIBE:
                self._judge_silence(awaited.destination, now)

    def _judge_silence(self, destination: str, now: float) -> None:
        if self._message_came and not self._receipt_came:
            # Messages come and receipts never do: this server sends none, and its silence says nothing against a subscription.
            self._confirm(destination)
            return
        # In one breath: no message of the destination falls between the two.
        self.unsubscribe(destination, now=now)
        self.subscribe(destination, now=now)
        self._events.append(Unconfirmed(destination=destination))

    def _next_expiry(self) -> float | None:
        if self._farewell_at is not None:
            return self._farewell_at
        return next((awaited.due_at for awaited in self._awaited.values()), None)
