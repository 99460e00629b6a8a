"""Limits of new connections per user and of unauthenticated connections per client address.

Both are counted in this process only. The limit per user is the setting
``gateway_connects_per_minute`` (``trading/config/http_settings.py``). The gateway's other limits
are elsewhere: connections per process in ``hub.py`` (setting ``gateway_clients_max``), message
sizes in ``handshake.py`` and ``server.py``, the length of a token in ``tokens.py``.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from aiohttp import web

from trading.client_addresses import client_address, client_of
from trading.config.settings import Settings
from trading.errors import RateLimited

WINDOW_S = 60
# Each has sent nothing yet, for a few seconds at most. Behind an untrusted proxy all clients count
# as one.
UNAUTHENTICATED_PER_CLIENT_MAX = 100


class ConnectionLimiter:
    """Counts in memory: a client refused by one gateway may connect to another."""

    def __init__(self, settings: Settings) -> None:
        self._connects_max = settings.gateway_connects_per_minute
        self._trusted = settings.trusted_networks
        self._connects: dict[UUID, deque[float]] = {}
        self._waiting: Counter[str] = Counter()

    def count(self, user_id: UUID) -> None:
        """Count a connection of a user. Raises RateLimited if the last minute had the maximum."""
        now = time.monotonic()
        connects = self._connects.setdefault(user_id, deque(maxlen=self._connects_max))
        if len(connects) == self._connects_max and connects[0] > now - WINDOW_S:
            wait_s = int(connects[0] + WINDOW_S - now) + 1
            raise RateLimited(limit=self._connects_max, window_s=WINDOW_S, retry_after_s=wait_s)
        connects.append(now)

    async def run(self) -> None:
        """Drop users who have not connected for a window, until cancelled."""
        while True:
            await asyncio.sleep(WINDOW_S)
            before = time.monotonic() - WINDOW_S
            for user_id in [
                user_id for user_id, connects in self._connects.items() if connects[-1] <= before
            ]:
                del self._connects[user_id]

    @contextmanager
    def waiting(self, request: web.Request) -> Iterator[None]:
        """Count an unauthenticated connection while the block runs.

        Raises RateLimited if its client address has too many.
        """
        client = client_of(
            client_address(
                request.remote or "", request.headers.get("X-Forwarded-For", ""), self._trusted
            )
        )
        if self._waiting[client] >= UNAUTHENTICATED_PER_CLIENT_MAX:
            raise RateLimited(
                limit=UNAUTHENTICATED_PER_CLIENT_MAX, window_s=WINDOW_S, retry_after_s=1
            )
        self._waiting[client] += 1
        try:
            yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
