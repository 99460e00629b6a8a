"""STOMP without I/O and without a clock: bytes and instants go in, events and bytes come out.

It speaks 1.2, and 1.1 or 1.0 with a server that answers so. Frames are frozen and validate themselves. A ``Parser`` turns any
cut of a byte stream into the same frames. A session is a parser, a state table and the duties that time brings (heart-beats,
receipts, deadlines): after every call take ``data_to_send()`` first, then ``events()``. A peer's fault never raises out of a session: it becomes the event ``Failed`` and the state CLOSED. Only a caller's own
fault raises: ``IllegalAction``.
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
from relayer.stomp.frames import Command, Frame
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
    "Command",
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
    "StrayMessage",
    "SubscribeRequested",
    "SubscriptionIds",
    "Unconfirmed",
    "UnexpectedFrame",
    "UnsubscribeRequested",
    "Version",
]
