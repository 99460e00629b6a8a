"""Origin checks and CORS: allow pages of the gateway's own origin and of the configured ones."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from trading.config.settings import Settings
from trading.errors import Forbidden

_PREFLIGHT_S = 600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origins:
    """Checks the Origin header. Programs other than browsers send none; their token suffices."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.gateway_origins

    def check(self, request: web.Request) -> None:
        """Raise Forbidden for a page of another origin."""
        origin = request.headers.get("Origin")
        if (
            origin is not None
            and origin not in self._allowed
            and not _is_same_origin(origin, request)
        ):
            raise Forbidden

    async def add_cors_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add CORS headers for a page of a configured origin."""
        response.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin in self._allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-ID"

    async def preflight(self, request: web.Request) -> web.Response:
        """Answer a browser's CORS preflight. Raises Forbidden."""
        self.check(request)
        response = web.Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = "GET"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Last-Event-ID"
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
        return response


def _is_same_origin(origin: str, request: web.Request) -> bool:
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False
