"""The gateway put together: runs until told to stop, and takes leave of its clients in order."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from random import Random

import structlog
from aiohttp import web
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from push_gateway.channels import REDIS_TIMEOUT_S
from push_gateway.connection_limits import ConnectionLimiter
from push_gateway.cors import Origins
from push_gateway.handlers import StreamHandlers
from push_gateway.hub import ClientHub
from push_gateway.metrics import GatewayMetrics
from push_gateway.problems import answer_failures, name_request
from push_gateway.tokens import Tokens
from trading.config.settings import Settings
from trading.observability.metrics import exposition, instruments
from trading.problems import SHARED_PROBLEMS

log = structlog.get_logger(__name__)

STREAM_PATH = "/api/v1/trading/realtime/stream"
WEBSOCKET_PATH = "/ws"
HEALTH_PATH = "/healthz"

_BACKLOG = 4_096
_REQUEST_BYTES_MAX = 16 * 1024
# Together below the four seconds after which the launcher's keeper kills.
FAREWELL_S = 2.0
_SHUTDOWN_S = 0.5
_POLL_S = 0.02
# A connection without a whole request is closed after so long, a new one too; longer than proxies keep one that is idle (60).
_KEEP_ALIVE_S = 75.0


class Gateway:
    """One gateway process's work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = _connect(settings.redis_url.get_secret_value())
        self._audience = ClientHub(settings, self._redis, clock=_utc_now, draw=Random())
        self._origins = Origins(settings)
        self._attempts = ConnectionLimiter(settings)
        self._entrances = StreamHandlers(
            self._audience, self._attempts, Tokens(settings), self._origins
        )
        instruments.initialise_series(codes=SHARED_PROBLEMS)
        self._told = exposition.build_registry(
            instruments.PROBLEMS, GatewayMetrics(self._audience), include_process=True
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. OSError when the port is taken; an unforeseen fault of one part ends all and is raised."""
        async with self._listening(), asyncio.TaskGroup() as group:
            log.info("gateway_started", pid=os.getpid(), port=self._settings.gateway_port)
            endless = [
                group.create_task(work)
                for work in (
                    self._audience.channels.run(),
                    self._audience.run(),
                    self._attempts.run(),
                )
            ]
            await stop.wait()
            log.info("gateway_stopping", clients=self._audience.size)
            await self._take_leave()
            for task in endless:
                task.cancel()
        await self._redis.aclose()
        log.info("gateway_stopped")

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        application = web.Application(
            middlewares=[answer_failures], client_max_size=_REQUEST_BYTES_MAX
        )
        application.on_response_prepare.extend([self._origins.share, name_request])
        application.router.add_get(STREAM_PATH, self._entrances.event_stream, allow_head=False)
        application.router.add_options(STREAM_PATH, self._origins.preflight)
        application.router.add_get(WEBSOCKET_PATH, self._entrances.websocket, allow_head=False)
        application.router.add_get(HEALTH_PATH, self._health)
        application.router.add_get(exposition.PATH, self._tell)
        # No access log: it would have a line a client and nothing that is not told elsewhere.
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_S,
            handle_signals=False,
            keepalive_timeout=_KEEP_ALIVE_S,
        )
        await runner.setup()
        try:
            site = web.TCPSite(
                runner, self._settings.gateway_host, self._settings.gateway_port, backlog=_BACKLOG
            )
            await site.start()
            yield
        finally:
            await runner.cleanup()

    async def _take_leave(self) -> None:
        """Bid everybody to come again; who does not take it in time is cut."""
        self._audience.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                while self._audience.size:
                    await asyncio.sleep(_POLL_S)

    async def _health(self, _request: web.Request) -> web.Response:
        """Whether the process answers; and, for a person, whom it serves and whether Redis is there."""
        return web.json_response(
            {
                "status": "ok",
                "redis": self._audience.channels.live,
                "clients": self._audience.size,
                "places": self._audience.places_taken,
            }
        )

    async def _tell(self, _request: web.Request) -> web.Response:
        """For Prometheus. It is for the operators: the proxy keeps it inside."""
        return web.Response(
            body=exposition.render(self._told), headers={"Content-Type": exposition.CONTENT_TYPE}
        )


def _connect(url: str) -> "Redis":
    """A client whose users bound each wait themselves: redis-py would do so by ``wait_for``, which in Python 3.11 may swallow a cancellation."""
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",
        protocol=2,  # In RESP3 redis-py 8 takes the answer to a PING on a subscribed connection apart, letter by letter.
        socket_timeout=None,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)
