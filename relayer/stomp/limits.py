"""All limits of the codec with their units. Input beyond a limit is refused."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Size limits of a peer's frame.

    ``head_octets`` covers command and headers with their line ends, and so bounds what is buffered
    before the blank line. Real trade frames have four headers, 150 octets of head and 300 octets of
    body.
    """

    header_count: int = 64
    header_line_octets: int = 4 * 1024
    head_octets: int = 16 * 1024
    body_octets: int = 256 * 1024


DEFAULT_LIMITS = Limits()

# Durations in seconds.
CONNECTED_TIMEOUT_S = 10.0
RECEIPT_TIMEOUT_S = 10.0
DISCONNECT_TIMEOUT_S = 1.0

# The peer counts as dead after this many promised intervals: the margin that the specification asks
# for.
SILENCE_INTERVALS = 2.0
# Send a heart-beat after this part of the promised interval, to allow for network delay.
SEND_FRACTION = 0.8

# No peer needs more than a day between beats; longer values are hostile.
HEART_BEAT_MS_MAX = 86_400_000
