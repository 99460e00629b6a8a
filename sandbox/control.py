"""HTTP control of the Toss stand-in's faults for manual tests: one resource on its own loopback
port.

The feed's port cannot serve it, because a WebSocket server reads no request body.
"""

from contextlib import AbstractAsyncContextManager

from aiohttp import web
from pydantic import ValidationError

from sandbox.faults import Faults
from sandbox.serving import running_server
from sandbox.toss_server import TossServer

FAULTS_PATH = "/sandbox/faults"
LOOPBACK = "127.0.0.1"
# Enough for the longest escaped text of `Break.writes`.
BODY_OCTETS_MAX = 512 * 1024
# Maximum number of validation errors in an answer.
PROBLEMS_MAX = 20


def control(server: TossServer, port: int) -> AbstractAsyncContextManager[int]:
    """Serve until the context ends. Yield the port, chosen by the system for 0. Raise OSError if in
    use.
    """
    handlers = _Handlers(server)
    application = web.Application(client_max_size=BODY_OCTETS_MAX)
    application.add_routes(
        [web.get(FAULTS_PATH, handlers.show), web.put(FAULTS_PATH, handlers.replace)]
    )
    return running_server(application, LOOPBACK, port)


class _Handlers:
    """Reads and replaces the faults of one server."""

    def __init__(self, server: TossServer) -> None:
        self._server = server

    async def show(self, _: web.Request) -> web.Response:
        return web.json_response(text=self._server.faults.model_dump_json())

    async def replace(self, request: web.Request) -> web.Response:
        """Replace all faults. Omitted ones are switched off, so `{}` ends all faults."""
        # A web page of another origin cannot send this type without a preflight request, so it
        # cannot set faults.
        if request.content_type != "application/json":
            return _refusal(
                415, "not-json", [{"at": "Content-Type", "message": "must be application/json"}]
            )
        try:
            self._server.faults = Faults.model_validate_json(await request.read())
        except ValidationError as invalid:
            return _refusal(400, "invalid-faults", validation_problems(invalid))
        return await self.show(request)


def validation_problems(invalid: ValidationError) -> list[dict[str, str]]:
    """Return validation errors with their places, without the values."""
    return [
        {"at": ".".join(map(str, error["loc"])), "message": error["msg"]}
        for error in invalid.errors(include_url=False, include_input=False)[:PROBLEMS_MAX]
    ]


def _refusal(status: int, code: str, problems: list[dict[str, str]]) -> web.Response:
    return web.json_response({"error": {"code": code, "complaints": problems}}, status=status)
