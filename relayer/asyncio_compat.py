"""Cancellations that got lost on their way."""

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError where the present task was told to end and did not notice.

    The Redis client sends with ``asyncio.wait_for``, and Python 3.11's drops a cancellation that comes when what it waits for is just done. Whoever
    goes on for long after a command to Redis asks here first.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
