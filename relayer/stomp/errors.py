"""The one tree of the codec's errors::

ProtocolError
├── MalformedFrame      bytes that are no frame, or a frame that may not exist
├── LimitExceeded       a frame beyond one of the limits
├── UnexpectedFrame     a good frame that the session's state does not allow
├── PeerSilent          nothing came for longer than the peer had promised
└── IllegalAction       our own caller asked for what the session's state does not allow
"""


class ProtocolError(Exception):
    """The base of all. Its message is one short sentence and never repeats a header's value: tokens travel there."""


class MalformedFrame(ProtocolError):
    """Bytes that are no STOMP frame, or a frame with impossible parts."""


class LimitExceeded(ProtocolError):
    """A frame with too many headers, too long a head or too large a body."""


class UnexpectedFrame(ProtocolError):
    """A well-formed frame at a moment or with a content that the protocol does not allow."""


class PeerSilent(ProtocolError):
    """The peer kept a promise of time not: no heart-beat, or no answer to CONNECT."""


class IllegalAction(ProtocolError):
    """A caller's mistake, e.g. to subscribe before the connection stands."""
