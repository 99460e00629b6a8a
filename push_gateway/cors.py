"""Which web pages may use the gateway from a browser: those of its own origin, and those that the settings list."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from trading.config.settings import Settings
from trading.errors import Forbidden

_PREFLIGHT_S = 600

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origins:
    """Checks the origin that a browser names. A program that is no browser names none, and its token is enough."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.gateway_origins

    def check(self, request: web.Request) -> None:
        """Raises Forbidden for a page of another origin."""
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._allowed and not _is_own(origin, request):
            raise Forbidden

    async def share(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Let a page of a listed origin read the answer (CORS)."""
        answer.headers["Vary"] = "Origin"
        origin = request.headers.get("Origin")
        if origin in self._allowed:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-ID"

    async def preflight(self, request: web.Request) -> web.Response:
        """What a browser asks before it sends a request with a token. Raises Forbidden."""
        self.check(request)
        answer = web.Response(status=204)
        answer.headers["Access-Control-Allow-Methods"] = "GET"
        answer.headers["Access-Control-Allow-Headers"] = "Authorization, Last-Event-ID"
        answer.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
        return answer


def _is_own(origin: str, request: web.Request) -> bool:
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False
