"""The stand-in's HTTP server, on loopback by default: REST API, browser side and control API."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web

from sandbox.control import LOOPBACK
from sandbox.portone import api, browser, control_api
from sandbox.portone.api import BODY_OCTETS_MAX
from sandbox.portone.clock import Clock, now
from sandbox.portone.merchant import API_SECRET, DEFAULT_STORE_ID
from sandbox.portone.server_state import STAND_IN, StandIn, WebhookSettings
from sandbox.serving import running_server

__all__ = ["API_SECRET", "BODY_OCTETS_MAX", "DEFAULT_STORE_ID", "LOOPBACK", "now", "portone"]

# The control API accepts a webhook that is larger than receivers allow.
CONTROL_BODY_BYTES_MAX = 4 * 1024 * 1024
MARK = "X-PortOne-Stand-In"


@asynccontextmanager
async def portone(
    port: int,
    *,
    host: str = LOOPBACK,
    clock: Callable[[], datetime] = now,
    mail: WebhookSettings | None = None,
    seed: int | None = None,
) -> AsyncIterator[int]:
    """Serve until the context ends. Yield the port, chosen by the system for 0. Raise OSError if in
    use.

    `mail` configures webhooks; without it none are sent. A `seed` makes random values repeatable.
    """
    stand_in = StandIn(clock=Clock(clock), rng=random.Random(seed), mail=mail or WebhookSettings())
    application = web.Application(client_max_size=CONTROL_BODY_BYTES_MAX)
    application[STAND_IN] = stand_in
    application.add_routes(
        [
            *api.routes(),
            *browser.routes(),
            *control_api.routes(),
            web.route("*", "/{rest:.*}", api.missing),
        ]
    )
    application.on_response_prepare.append(_mark)
    try:
        async with running_server(application, host, port) as bound:
            yield bound
    finally:
        await stand_in.sender.close()


async def _mark(_: web.Request, response: web.StreamResponse) -> None:
    """Mark every answer as the stand-in's."""
    response.headers[MARK] = "1"
