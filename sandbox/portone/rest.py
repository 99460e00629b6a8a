"""The stand-in's HTTP, on loopback unless it is told otherwise: PortOne's REST API, the browser's side of it, and a desk that is not PortOne's."""

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
from sandbox.portone.server_state import STAND_IN, Mail, StandIn
from sandbox.serving import served

__all__ = ["API_SECRET", "BODY_OCTETS_MAX", "DEFAULT_STORE_ID", "LOOPBACK", "now", "portone"]

# The desk may be handed a webhook that is too large for anybody.
DESK_OCTETS_MAX = 4 * 1024 * 1024
MARK = "X-PortOne-Stand-In"


@asynccontextmanager
async def portone(
    port: int,
    *,
    host: str = LOOPBACK,
    clock: Callable[[], datetime] = now,
    mail: Mail | None = None,
    seed: int | None = None,
) -> AsyncIterator[int]:
    """Serve until the context ends; gives the port, which the system chooses for 0. OSError when it is taken.

    ``mail`` says where webhooks go; without it none are sent. With a ``seed`` chance plays the same again.
    """
    stand_in = StandIn(clock=Clock(clock), rng=random.Random(seed), mail=mail or Mail())
    application = web.Application(client_max_size=DESK_OCTETS_MAX)
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
        async with served(application, host, port) as bound:
            yield bound
    finally:
        await stand_in.sender.close()


async def _mark(_: web.Request, response: web.StreamResponse) -> None:
    """Nobody may take an answer of the stand-in for one of PortOne's."""
    response.headers[MARK] = "1"
