"""Server side of one connection, for broker stand-ins: requests become events."""

from dataclasses import dataclass

from relayer.stomp.errors import IllegalAction, ProtocolError, UnexpectedFrame
from relayer.stomp.frames import Frame, StompCommand
from relayer.stomp.heart_beats import HeartBeat, HeartBeatMonitor
from relayer.stomp.limits import CONNECTED_TIMEOUT_S, DEFAULT_LIMITS, Limits
from relayer.stomp.session_core import SessionCore
from relayer.stomp.states import SERVER_RECEIVES, SERVER_SENDS, State
from relayer.stomp.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequested:
    """A client asks for a session: answer with ``accept`` or ``refuse``."""

    authorization: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeRequested:
    """A client subscribes under an id of its own. Acknowledge ``receipt``, if any, when done."""

    subscription: str
    destination: str
    receipt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsubscribeRequested:
    """A client cancels one of its subscriptions."""

    subscription: str
    destination: str
    receipt: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectRequested:
    """A client disconnects; it sends nothing more."""

    receipt: str | None


Event = ConnectRequested | SubscribeRequested | UnsubscribeRequested | DisconnectRequested


class ServerSession(SessionCore[Event]):
    """Serves one client. A client's error is answered with ERROR and ends the session."""

    def __init__(
        self, *, heart_beat: HeartBeat, now: float, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        super().__init__(sends=SERVER_SENDS, receives=SERVER_RECEIVES, limits=limits)
        self._heart_beat = heart_beat
        self._client_heart_beat = HeartBeat(send_ms=0, want_ms=0)
        self._connect_until: float | None = now + CONNECTED_TIMEOUT_S
        self._subscriptions: dict[str, str] = {}
        self._current_receipt: str | None = None
        self._message_count = 0

    @property
    def subscriptions(self) -> dict[str, str]:
        """Copy of the destinations by the client's subscription ids."""
        return dict(self._subscriptions)

    def accept(self, *, now: float) -> None:
        """Accept the client's CONNECT; both sides then owe heart-beats.

        Raises IllegalAction without a CONNECT.
        """
        headers = (("version", Version.V1_2), ("heart-beat", str(self._heart_beat)))
        self._send(StompCommand.CONNECTED, headers, now)
        self._monitor = HeartBeatMonitor(
            local=self._heart_beat, remote=self._client_heart_beat, now=now
        )

    def refuse(self, summary: str, *, now: float, receipt: str | None = None) -> None:
        """Send ERROR, which ends the session. Raises IllegalAction if it has ended already."""
        headers = (
            (("message", summary),)
            if receipt is None
            else (("message", summary), ("receipt-id", receipt))
        )
        self._send(StompCommand.ERROR, headers, now)

    def acknowledge(self, receipt: str | None, *, now: float) -> None:
        """Send the requested receipt; do nothing for None."""
        if receipt is not None:
            self._send(StompCommand.RECEIPT, (("receipt-id", receipt),), now)

    def acknowledge_disconnect(self, receipt: str | None, *, now: float) -> None:
        """Answer DISCONNECT with its receipt, if requested, and close the session."""
        self.acknowledge(receipt, now=now)
        self.state = State.CLOSED

    def message(self, subscription: str, body: bytes, *, now: float) -> None:
        """Send a message to one subscription, without a destination, as Toss does.

        Raises IllegalAction for an unknown subscription.
        """
        if subscription not in self._subscriptions:
            raise IllegalAction("no such subscription")
        self._message_count += 1
        headers = (
            ("subscription", subscription),
            ("message-id", str(self._message_count)),
            ("content-type", "application/json;charset=utf-8"),
        )
        self._send(StompCommand.MESSAGE, headers, now, body)

    def _handle_frame(self, frame: Frame, next_state: State, now: float) -> None:  # noqa: ARG002
        self._current_receipt = frame.header("receipt")
        match frame.command:
            case StompCommand.SUBSCRIBE:
                event: Event = self._subscribe(frame)
            case StompCommand.UNSUBSCRIBE:
                event = self._unsubscribe(frame)
            case StompCommand.DISCONNECT:
                event = DisconnectRequested(receipt=frame.header("receipt"))
            case _:
                event = self._connect(frame)
        self._current_receipt = None
        self.state = next_state
        self._events.append(event)

    def _connect(self, frame: Frame) -> ConnectRequested:
        versions = (frame.header("accept-version") or Version.V1_0).split(",")
        if Version.V1_2 not in [version.strip() for version in versions]:
            raise UnexpectedFrame(f"only version {Version.V1_2} is supported")
        self._client_heart_beat = HeartBeat.parse(frame.header("heart-beat"))
        self._connect_until = None
        return ConnectRequested(authorization=frame.header("authorization"))

    def _subscribe(self, frame: Frame) -> SubscribeRequested:
        subscription, destination = frame.header("id"), frame.header("destination")
        if subscription is None or destination is None:
            raise UnexpectedFrame("SUBSCRIBE needs an id and a destination")
        if subscription in self._subscriptions:
            raise UnexpectedFrame("the subscription id is taken")
        self._subscriptions[subscription] = destination
        return SubscribeRequested(
            subscription=subscription, destination=destination, receipt=frame.header("receipt")
        )

    def _unsubscribe(self, frame: Frame) -> UnsubscribeRequested:
        subscription = frame.header("id")
        if subscription is None or subscription not in self._subscriptions:
            raise UnexpectedFrame("UNSUBSCRIBE names no subscription")
        destination = self._subscriptions.pop(subscription)
        return UnsubscribeRequested(
            subscription=subscription, destination=destination, receipt=frame.header("receipt")
        )

    def _fail(self, error: ProtocolError) -> None:
        headers: tuple[tuple[str, str], ...] = (("message", str(error)),)
        if self.state is State.NEW:
            headers = (*headers, ("version", Version.V1_2))
        if self._current_receipt is not None:
            headers = (*headers, ("receipt-id", self._current_receipt))
        if self.state is not State.DISCONNECTING:
            self._outgoing.append(Frame(StompCommand.ERROR, headers).encode())
        super()._fail(error)

    def _expire(self, now: float) -> None:
        if self._connect_until is not None and now >= self._connect_until:
            self._fail(UnexpectedFrame("no CONNECT came in time"))

    def _next_expiry(self) -> float | None:
        return self._connect_until
