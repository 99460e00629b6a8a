"""Work around ``asyncio.wait_for`` swallowing cancellation on Python 3.11 (redis-py uses it)."""

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was cancelled but the cancellation was swallowed.

    The Redis client sends with ``asyncio.wait_for``. On Python 3.11 that drops a cancellation which
    arrives just as the awaited operation completes. Call this after a Redis command in a long loop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
