"""Heart-beats: what two peers offer each other, what they agree upon, and what time then asks of each."""

import re
from dataclasses import dataclass
from typing import Self

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.limits import BEAT_PART, HEART_BEAT_MS_MAX, SILENCE_INTERVALS

_HEADER = re.compile(r"([0-9]{1,9}),([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartBeat:
    """One peer's offer in milliseconds: how often it can send, how often it wants to receive; 0 is never."""

    send_ms: int
    want_ms: int

    def __str__(self) -> str:
        return f"{self.send_ms},{self.want_ms}"

    @classmethod
    def parse(cls, header: str | None) -> Self:
        """The ``heart-beat`` header's value; absent means none both ways. MalformedFrame for anything but two small numbers."""
        if header is None:
            return cls(send_ms=0, want_ms=0)
        found = _HEADER.fullmatch(header)
        if not found or max(int(found[1]), int(found[2])) > HEART_BEAT_MS_MAX:
            raise MalformedFrame("heart-beat is not two spans of at most a day")
        return cls(send_ms=int(found[1]), want_ms=int(found[2]))


class Pulse:
    """The life of one direction pair: when we last sent, when we last heard. Instants are seconds of any steady clock."""

    def __init__(self, *, ours: HeartBeat, theirs: HeartBeat, now: float) -> None:
        self.send_interval_s = _agreed_s(ours.send_ms, theirs.want_ms)
        self.expect_interval_s = _agreed_s(theirs.send_ms, ours.want_ms)
        self._sent_at = now
        self._heard_at = now

    def sent(self, now: float) -> None:
        self._sent_at = now

    def heard(self, now: float) -> None:
        self._heard_at = now

    @property
    def beat_due_at(self) -> float | None:
        """When we must send something; None when nothing was promised."""
        return (
            None
            if self.send_interval_s is None
            else self._sent_at + BEAT_PART * self.send_interval_s
        )

    @property
    def dead_at(self) -> float | None:
        """When a peer that stays silent counts as dead; None when it promised nothing."""
        return (
            None
            if self.expect_interval_s is None
            else self._heard_at + SILENCE_INTERVALS * self.expect_interval_s
        )


def _agreed_s(can_send_ms: int, wants_ms: int) -> float | None:
    return max(can_send_ms, wants_ms) / 1000 if can_send_ms and wants_ms else None
