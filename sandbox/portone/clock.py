"""Clock of the stand-in: real time that can be advanced."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """Return the real time, timezone-aware."""
    return datetime.now(UTC)


class Clock:
    """Clock on top of `base`, which returns aware UTC times. `advance` also ends waits that become
    due.
    """

    def __init__(self, base: Callable[[], datetime] = now) -> None:
        self.base = base
        self._ahead = timedelta()
        self._moved = asyncio.Event()

    def __call__(self) -> datetime:
        return self.base() + self._ahead

    def advance(self, span: timedelta) -> None:
        """Advance the clock and wake waiting tasks."""
        self._ahead += span
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def wait(self, span: timedelta) -> None:
        """Wait for this much time on this clock."""
        due = self() + span
        while (left := (due - self()).total_seconds()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._moved.wait()
            except TimeoutError:
                continue
