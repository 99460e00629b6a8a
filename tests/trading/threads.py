"""Threads for races."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from tests.support.deadlines import DEADLINE_S

T = TypeVar("T")


def run_together(*works: Callable[[], T]) -> list[T]:
    """Start all works at the same moment, each in a thread of its own; their results in order, or the first error of any."""
    start = Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(DEADLINE_S)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(DEADLINE_S) for future in [pool.submit(run, work) for work in works]]


def outcome(work: Callable[[], T], *refusals: type[Exception]) -> Callable[[], T | Exception]:
    """The work with these refusals returned instead of raised, for races in which most are to lose."""

    def run() -> T | Exception:
        try:
            return work()
        except refusals as refusal:
            return refusal

    return run
