"""Errors of the codec::

ProtocolError
├── MalformedFrame      bytes that are no frame, or an invalid frame
├── LimitExceeded       a frame beyond one of the limits
├── UnexpectedFrame     a valid frame that the session's state does not allow
├── PeerSilent          nothing arrived for longer than the peer had promised
└── IllegalAction       the caller requested what the session's state does not allow
"""


class ProtocolError(Exception):
    """Base class. Messages are one short sentence and never repeat a header value, e.g. a token."""


class MalformedFrame(ProtocolError):
    """Bytes that are no STOMP frame, or a frame with invalid parts."""


class LimitExceeded(ProtocolError):
    """A frame with too many headers, too long a head or too large a body."""


class UnexpectedFrame(ProtocolError):
    """A well-formed frame that the protocol does not allow at this point or with this content."""


class PeerSilent(ProtocolError):
    """The peer missed a deadline: no heart-beat, or no answer to CONNECT."""


class IllegalAction(ProtocolError):
    """Misuse by the caller, e.g. subscribing before the session is connected."""
