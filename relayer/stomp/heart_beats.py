"""Heart-beats: negotiation of intervals and the resulting deadlines."""

import re
from dataclasses import dataclass
from typing import Self

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.limits import HEART_BEAT_MS_MAX, SEND_FRACTION, SILENCE_INTERVALS

_HEADER = re.compile(r"([0-9]{1,9}),([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartBeat:
    """One peer's offer in milliseconds: how often it can send and wants to receive; 0 is never."""

    send_ms: int
    want_ms: int

    def __str__(self) -> str:
        return f"{self.send_ms},{self.want_ms}"

    @classmethod
    def parse(cls, header: str | None) -> Self:
        """Parse a ``heart-beat`` header; None means no heart-beats.

        Raises MalformedFrame unless the value is two numbers of at most a day.
        """
        if header is None:
            return cls(send_ms=0, want_ms=0)
        found = _HEADER.fullmatch(header)
        if not found or max(int(found[1]), int(found[2])) > HEART_BEAT_MS_MAX:
            raise MalformedFrame("heart-beat is not two durations of at most a day")
        return cls(send_ms=int(found[1]), want_ms=int(found[2]))


class HeartBeatMonitor:
    """Send and receive deadlines of one connection. Times are seconds of any monotonic clock."""

    def __init__(self, *, local: HeartBeat, remote: HeartBeat, now: float) -> None:
        self.send_interval_s = _agreed_s(local.send_ms, remote.want_ms)
        self.expect_interval_s = _agreed_s(remote.send_ms, local.want_ms)
        self._sent_at = now
        self._received_at = now

    def sent(self, now: float) -> None:
        self._sent_at = now

    def received(self, now: float) -> None:
        self._received_at = now

    @property
    def beat_due_at(self) -> float | None:
        """When the next heart-beat must be sent; None if none was promised."""
        return (
            None
            if self.send_interval_s is None
            else self._sent_at + SEND_FRACTION * self.send_interval_s
        )

    @property
    def dead_at(self) -> float | None:
        """When a silent peer counts as dead; None if it promised no heart-beats."""
        return (
            None
            if self.expect_interval_s is None
            else self._received_at + SILENCE_INTERVALS * self.expect_interval_s
        )


def _agreed_s(can_send_ms: int, wants_ms: int) -> float | None:
    return max(can_send_ms, wants_ms) / 1000 if can_send_ms and wants_ms else None
