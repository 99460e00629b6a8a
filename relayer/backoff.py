"""Unlimited exponential back-off with full jitter, so that relayers do not retry in step."""

from random import Random

FIRST_CEILING_S = 0.5
CEILING_S = 30.0


class Backoff:
    """Wait before the next attempt. The n-th ceiling is 0.5 s · 2ⁿ, at most 30 s.

    Call ``reset`` after a success.
    """

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._ceiling_s = FIRST_CEILING_S

    def reset(self) -> None:
        self._ceiling_s = FIRST_CEILING_S

    def next_wait_s(self) -> float:
        """Return a wait in seconds, uniform between 0 and the ceiling, then double the ceiling."""
        wait_s = self._draw.uniform(0, self._ceiling_s)
        self._ceiling_s = min(CEILING_S, 2 * self._ceiling_s)
        return wait_s
