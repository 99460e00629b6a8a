"""The sandbox's faults over HTTP, for whoever tries something by hand: one resource on a port of its own, on loopback only.

The feed's own port can't have it: a server of WebSockets reads no request with a body.
"""

from contextlib import AbstractAsyncContextManager

from aiohttp import web
from pydantic import ValidationError

from sandbox.faults import Faults
from sandbox.serving import served
from sandbox.toss_server import TossServer

FAULTS_PATH = "/sandbox/faults"
LOOPBACK = "127.0.0.1"
# Enough for the longest text that a break may write, escaped.
BODY_OCTETS_MAX = 512 * 1024
# A long list of wrong values is not worth a longer one of complaints.
COMPLAINTS_MAX = 20


def control(server: TossServer, port: int) -> AbstractAsyncContextManager[int]:
    """Serve until the context ends; gives the port, which the system chooses for 0. OSError when it is taken."""
    desk = _Desk(server)
    application = web.Application(client_max_size=BODY_OCTETS_MAX)
    application.add_routes([web.get(FAULTS_PATH, desk.show), web.put(FAULTS_PATH, desk.replace)])
    return served(application, LOOPBACK, port)


class _Desk:
    """Shows and replaces the faults of one server."""

    def __init__(self, server: TossServer) -> None:
        self._server = server

    async def show(self, _: web.Request) -> web.Response:
        return web.json_response(text=self._server.faults.model_dump_json())

    async def replace(self, request: web.Request) -> web.Response:
        """All knobs at once: one that is not named is turned back, so ``{}`` ends all faults."""
        # A page in a browser may not send this type to another site unasked, so none can turn knobs here.
        if request.content_type != "application/json":
            return _refusal(
                415, "not-json", [{"at": "Content-Type", "message": "must be application/json"}]
            )
        try:
            self._server.faults = Faults.model_validate_json(await request.read())
        except ValidationError as invalid:
            return _refusal(400, "invalid-faults", complaints_of(invalid))
        return await self.show(request)


def complaints_of(invalid: ValidationError) -> list[dict[str, str]]:
    """What is wrong and where, without the values."""
    return [
        {"at": ".".join(map(str, error["loc"])), "message": error["msg"]}
        for error in invalid.errors(include_url=False, include_input=False)[:COMPLAINTS_MAX]
    ]


def _refusal(status: int, code: str, complaints: list[dict[str, str]]) -> web.Response:
    return web.json_response({"error": {"code": code, "complaints": complaints}}, status=status)
