"""Threads for race tests."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from tests.support.deadlines import DEADLINE_S

T = TypeVar("T")


def run_together(*works: Callable[[], T]) -> list[T]:
    """Run all functions at the same moment, each in its own thread.

    Return their results in order, or raise the first error.
    """
    start = Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(DEADLINE_S)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(DEADLINE_S) for future in [pool.submit(run, work) for work in works]]


def outcome(work: Callable[[], T], *refusals: type[Exception]) -> Callable[[], T | Exception]:
    """Return a function that returns these errors instead of raising them, for races."""

    def run() -> T | Exception:
        try:
            return work()
        except refusals as refusal:
            return refusal

    return run
