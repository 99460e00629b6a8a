"""Waits grow, have jitter and never end."""

from random import Random

from relayer.backoff import CEILING_S, FIRST_CEILING_S, Backoff


class _Highest(Random):
    """Returns the upper bound of every range."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - Random's signature
        return b


def test_the_ceiling_doubles_up_to_30_seconds() -> None:
    backoff = Backoff(_Highest())

    waits = [backoff.next_wait_s() for _ in range(8)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_wait_s() == FIRST_CEILING_S


def test_waits_are_drawn_from_the_whole_range() -> None:
    draw = Random(1)
    backoff = Backoff(draw)
    for _ in range(10):
        backoff.next_wait_s()

    waits = [backoff.next_wait_s() for _ in range(200)]

    assert min(waits) < CEILING_S / 10
    assert CEILING_S * 9 / 10 < max(waits) <= CEILING_S
