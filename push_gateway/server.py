"""The gateway process: wires its parts, serves until stopped, then closes its clients in order."""

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
from push_gateway.problems import handle_failures, send_request_id
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
# Both together are less than the four seconds after which the launcher's supervisor kills.
CLOSE_TIMEOUT_S = 2.0
_SHUTDOWN_S = 0.5
_POLL_S = 0.02
# Connections without a complete request are closed after this time, new ones too. Longer than
# proxies keep idle connections (60 s).
_KEEP_ALIVE_S = 75.0


class Gateway:
    """One gateway process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = _connect(settings.redis_url.get_secret_value())
        self._hub = ClientHub(settings, self._redis, clock=_utc_now, random=Random())
        self._origins = Origins(settings)
        self._limiter = ConnectionLimiter(settings)
        self._handlers = StreamHandlers(self._hub, self._limiter, Tokens(settings), self._origins)
        instruments.initialise_series(codes=SHARED_PROBLEMS)
        self._registry = exposition.build_registry(
            instruments.PROBLEMS, GatewayMetrics(self._hub), include_process=True
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set. Raises OSError if the port is taken.

        An unexpected error in one part stops all parts and is raised.
        """
        async with self._listening(), asyncio.TaskGroup() as group:
            log.info("gateway_started", pid=os.getpid(), port=self._settings.gateway_port)
            background = [
                group.create_task(work)
                for work in (
                    self._hub.channels.run(),
                    self._hub.run(),
                    self._limiter.run(),
                )
            ]
            await stop.wait()
            log.info("gateway_stopping", clients=self._hub.size)
            await self._close_clients()
            for task in background:
                task.cancel()
        await self._redis.aclose()
        log.info("gateway_stopped")

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        application = web.Application(
            middlewares=[handle_failures], client_max_size=_REQUEST_BYTES_MAX
        )
        application.on_response_prepare.extend([self._origins.add_cors_headers, send_request_id])
        application.router.add_get(STREAM_PATH, self._handlers.event_stream, allow_head=False)
        application.router.add_options(STREAM_PATH, self._origins.preflight)
        application.router.add_get(WEBSOCKET_PATH, self._handlers.websocket, allow_head=False)
        application.router.add_get(HEALTH_PATH, self._health)
        application.router.add_get(exposition.PATH, self._metrics)
        # No access log: one line per client would add nothing to the other log lines.
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

    async def _close_clients(self) -> None:
        """Ask all clients to reconnect elsewhere; those that do not leave in time are cut off."""
        self._hub.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._hub.size:
                    await asyncio.sleep(_POLL_S)

    async def _health(self, _request: web.Request) -> web.Response:
        """Health check: the process answers. Also reports clients and the Redis connection."""
        return web.json_response(
            {
                "status": "ok",
                "redis": self._hub.channels.live,
                "clients": self._hub.size,
                "places": self._hub.slots_taken,
            }
        )

    async def _metrics(self, _request: web.Request) -> web.Response:
        """Prometheus metrics, for operators only: the proxy does not expose this path."""
        return web.Response(
            body=exposition.render(self._registry),
            headers={"Content-Type": exposition.CONTENT_TYPE},
        )


def _connect(url: str) -> "Redis":
    """Return a client without socket timeouts: callers bound each wait.

    redis-py would use ``wait_for``, which may swallow a cancellation on Python 3.11.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",
        # In RESP3, redis-py 8 splits the PING reply on a subscribed connection into characters.
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)
