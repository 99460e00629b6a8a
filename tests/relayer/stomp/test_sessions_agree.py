"""Client and server sessions over a wire that splits at random end up in agreement."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relayer.stomp import (
    ClientSession,
    Connected,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    Failed,
    HeartBeat,
    Message,
    ServerSession,
    State,
    SubscribeRequested,
    SubscriptionIds,
    UnsubscribeRequested,
)

BEATS = HeartBeat(send_ms=1_000, want_ms=1_000)
TOPICS = [f"/topic/{letter}" for letter in "abc"]


class TwoSessions(RuleBasedStateMachine):
    """Both ends and two byte streams between them, of which any part may have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.client = ClientSession(SubscriptionIds(), heart_beat=BEATS)
        self.server = ServerSession(heart_beat=BEATS, now=self.now)
        self.to_server = b""
        self.to_client = b""
        self.sent = 0
        self.received = 0
        self.happened: list[object] = []
        self.client.connect(host="feed", headers=(("authorization", "token"),), now=self.now)
        self.deliver_all()

    @precondition(lambda self: self.client.state is State.CONNECTED)
    @rule(topic=st.sampled_from(TOPICS))
    def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, now=self.now)

    @precondition(lambda self: self.client.state is State.CONNECTED)
    @rule(topic=st.sampled_from(TOPICS))
    def unsubscribe(self, topic: str) -> None:
        self.client.unsubscribe(topic, now=self.now)

    @precondition(lambda self: self.server.state is State.CONNECTED)
    @rule(body=st.binary(max_size=20))
    def publish(self, body: bytes) -> None:
        for subscription in self.server.subscriptions:
            self.server.message(subscription, body, now=self.now)

    @precondition(lambda self: self.client.state is State.CONNECTED)
    @rule()
    def disconnect(self) -> None:
        self.client.disconnect(now=self.now)

    @rule(span_s=st.floats(0.01, 0.4))
    def pass_time(self, span_s: float) -> None:
        """Advance by less than half an interval: heart-beats alone must keep both sides alive."""
        self.now += span_s
        self.client.tick(self.now)
        self.server.tick(self.now)
        self.deliver_all()

    @rule(octets=st.integers(1, 60))
    def deliver_some(self, octets: int) -> None:
        self.collect()
        arrived, self.to_server = self.to_server[:octets], self.to_server[octets:]
        self.server.receive(arrived, self.now)
        self.answer()
        arrived, self.to_client = self.to_client[:octets], self.to_client[octets:]
        self.client.receive(arrived, self.now)
        self.happened += self.client.events()

    @rule()
    def deliver_all(self) -> None:
        self.collect()
        while self.to_server or self.to_client:
            self.deliver_some(1_000_000)
            self.collect()

    def collect(self) -> None:
        self.to_server += b"".join(self.client.data_to_send())
        self.to_client += b"".join(self.server.data_to_send())

    def answer(self) -> None:
        for event in self.server.events():
            match event:
                case ConnectRequested():
                    self.server.accept(now=self.now)
                case SubscribeRequested() | UnsubscribeRequested():
                    self.server.acknowledge(event.receipt, now=self.now)
                case DisconnectRequested():
                    self.server.acknowledge_disconnect(event.receipt, now=self.now)
                case Failed():
                    raise AssertionError(event)

    @invariant()
    def nobody_fails(self) -> None:
        assert not [event for event in self.happened if isinstance(event, Failed)]
        assert all(
            event.destination in TOPICS for event in self.happened if isinstance(event, Message)
        )

    def teardown(self) -> None:
        """Deliver everything; both must have the same subscriptions and matching states."""
        self.deliver_all()
        assert isinstance(self.happened[0], Connected)
        if self.client.state is State.CONNECTED:
            assert self.server.state is State.CONNECTED
            assert self.client.subscribed == set(self.server.subscriptions.values())
        else:
            assert self.client.closed
            assert self.server.closed
            assert self.happened[-1] == Disconnected(confirmed=True)


TestTwoSessions = TwoSessions.TestCase
