"""Every limit of the codec, named with its unit. What exceeds one is refused; nothing grows without bound."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a frame is taken from a peer.

    ``head_octets`` covers command and headers with their line ends and so bounds what may wait for the blank line.
    Real trade frames have four headers, 150 octets of head and 300 octets of body.
    """

    header_count: int = 64
    header_line_octets: int = 4 * 1024
    head_octets: int = 16 * 1024
    body_octets: int = 256 * 1024


DEFAULT_LIMITS = Limits()

# Spans in seconds.
CONNECTED_TIMEOUT_S = 10.0
RECEIPT_TIMEOUT_S = 10.0
DISCONNECT_TIMEOUT_S = 1.0

# The peer may be this many of its promised intervals late before it counts as dead: the margin that the specification asks for.
SILENCE_INTERVALS = 2.0
# We send our own beat after this part of the promised interval, so that the network's delay does not break the promise.
BEAT_PART = 0.8

# No peer means more than a day between beats; more digits are an attack on our arithmetic.
HEART_BEAT_MS_MAX = 86_400_000
