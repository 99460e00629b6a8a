"""STOMP codec without I/O and without a clock: bytes and times go in, events and bytes come out.

It requests version 1.2 and accepts 1.1 or 1.0 from a server. Frames are frozen and validate
themselves. A ``Parser`` returns the same frames however the byte stream is split. A session is a
parser, a state table and timers (heart-beats, receipts, deadlines). After every call take
``data_to_send()`` first, then ``events()``. A peer's error is never raised: it becomes the event
``Failed`` and the state CLOSED. Only misuse by the caller is raised, as ``IllegalAction``.
"""

from relayer.stomp.client_session import (
    ClientSession,
    Confirmed,
    Connected,
    Disconnected,
    ErrorReceived,
    Message,
    StrayMessage,
    Unconfirmed,
)
from relayer.stomp.errors import (
    IllegalAction,
    LimitExceeded,
    MalformedFrame,
    PeerSilent,
    ProtocolError,
    UnexpectedFrame,
)
from relayer.stomp.frames import Frame, StompCommand
from relayer.stomp.heart_beats import HeartBeat
from relayer.stomp.limits import DEFAULT_LIMITS, Limits
from relayer.stomp.parser import Parser
from relayer.stomp.server_session import (
    ConnectRequested,
    DisconnectRequested,
    ServerSession,
    SubscribeRequested,
    UnsubscribeRequested,
)
from relayer.stomp.states import Failed, State
from relayer.stomp.subscription_ids import SubscriptionIds
from relayer.stomp.versions import Version

__all__ = [
    "DEFAULT_LIMITS",
    "ClientSession",
    "Confirmed",
    "ConnectRequested",
    "Connected",
    "DisconnectRequested",
    "Disconnected",
    "ErrorReceived",
    "Failed",
    "Frame",
    "HeartBeat",
    "IllegalAction",
    "LimitExceeded",
    "Limits",
    "MalformedFrame",
    "Message",
    "Parser",
    "PeerSilent",
    "ProtocolError",
    "ServerSession",
    "State",
    "StompCommand",
    "StrayMessage",
    "SubscribeRequested",
    "SubscriptionIds",
    "Unconfirmed",
    "UnexpectedFrame",
    "UnsubscribeRequested",
    "Version",
]
