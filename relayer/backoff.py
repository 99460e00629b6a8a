"""Waits between attempts: exponential with full jitter, without an end, so that many relayers never knock in step."""

from random import Random

FIRST_CEILING_S = 0.5
CEILING_S = 30.0


class Backoff:
    """The wait before the next attempt; after a success call ``reset``. The n-th ceiling is 0.5 s · 2ⁿ, 30 s at most."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._ceiling_s = FIRST_CEILING_S

    def reset(self) -> None:
        self._ceiling_s = FIRST_CEILING_S

    def next_wait_s(self) -> float:
        """A wait drawn evenly from nothing to the present ceiling, in seconds; the ceiling doubles for the next call."""
        wait_s = self._draw.uniform(0, self._ceiling_s)
        self._ceiling_s = min(CEILING_S, 2 * self._ceiling_s)
        return wait_s
