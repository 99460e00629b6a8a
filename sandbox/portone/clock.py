"""The stand-in's time: it runs as the world's does, and can be moved on."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The world's time, aware."""
    return datetime.now(UTC)


class Clock:
    """``base`` gives aware UTC times; what ``advance`` adds also ends the waits that it makes due."""

    def __init__(self, base: Callable[[], datetime] = now) -> None:
        self.base = base
        self._ahead = timedelta()
        self._moved = asyncio.Event()

    def __call__(self) -> datetime:
        return self.base() + self._ahead

    def advance(self, span: timedelta) -> None:
        """Move on, and wake who waits."""
        self._ahead += span
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def wait(self, span: timedelta) -> None:
        """Return when this much time has passed here."""
        due = self() + span
        while (left := (due - self()).total_seconds()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._moved.wait()
            except TimeoutError:
                continue
