"""JSON in and out, and how a refusal is told."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from sandbox.control import complaints_of
from sandbox.portone.payments import Refusal


def members_of(body: bytes | str) -> dict[str, Any]:
    """The members of a JSON object; INVALID_REQUEST for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refusal(400, "INVALID_REQUEST")
    return document


def amount_in(members: dict[str, Any], name: str, *, least: int = 1) -> int | None:
    """A whole amount that may be left out."""
    amount = members.get(name)
    if amount is not None and (type(amount) is not int or not least <= amount < 2**63):
        raise Refusal(400, "INVALID_REQUEST")
    return amount


def text_in(members: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    """A text that may be left out, or that may not."""
    text = members.get(name)
    if not (isinstance(text, str) and text) and (required or text is not None):
        raise Refusal(400, "INVALID_REQUEST")
    return text


def answer(status: int, members: Any) -> web.Response:
    """Any JSON value as an answer."""
    # What a browser sent may hold half a character, which only escaped goes out as it came in.
    try:
        body = json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        body = json.dumps(members).encode()
    return web.Response(status=status, body=body, content_type="application/json")


def refused(refusal: Refusal) -> web.Response:
    """PortOne's form of a refusal."""
    return answer(refusal.status, {"type": refusal.kind, "message": refusal.kind})


def told(
    call: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler, with what it refuses told in PortOne's form."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await call(request)
        except Refusal as refusal:
            return refused(refusal)
        except ValidationError as invalid:
            return answer(400, {"type": "INVALID_REQUEST", "complaints": complaints_of(invalid)})

    return handle


async def json_body(request: web.Request) -> bytes:
    """A body that says it is JSON. A page in a browser may not send this type to another site unasked, so none can turn knobs here."""
    if request.content_type != "application/json":
        raise Refusal(415, "NOT_JSON")
    return await request.read()
