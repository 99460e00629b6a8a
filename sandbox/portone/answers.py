"""JSON requests, answers and errors."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from sandbox.control import validation_problems
from sandbox.portone.payments import PortoneRefusal


def parse_object(body: bytes | str) -> dict[str, Any]:
    """Return a JSON object's members. Raise INVALID_REQUEST for anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return document


def amount_in(members: dict[str, Any], name: str, *, least: int = 1) -> int | None:
    """Return an optional whole amount."""
    amount = members.get(name)
    if amount is not None and (type(amount) is not int or not least <= amount < 2**63):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return amount


def text_in(members: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    """Return an optional or required text."""
    text = members.get(name)
    if not (isinstance(text, str) and text) and (required or text is not None):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return text


def answer(status: int, members: Any) -> web.Response:
    """Return a JSON answer."""
    # Text from a browser may contain a lone surrogate, which must be escaped.
    try:
        body = json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        body = json.dumps(members).encode()
    return web.Response(status=status, body=body, content_type="application/json")


def error_answer(refusal: PortoneRefusal) -> web.Response:
    """Return an error in PortOne's format."""
    return answer(refusal.status, {"type": refusal.kind, "message": refusal.kind})


def error_answers(
    call: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Wrap a handler so that a Refusal becomes an error in PortOne's format."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await call(request)
        except PortoneRefusal as refusal:
            return error_answer(refusal)
        except ValidationError as invalid:
            return answer(
                400, {"type": "INVALID_REQUEST", "complaints": validation_problems(invalid)}
            )

    return handle


async def json_body(request: web.Request) -> bytes:
    """Return the body of a request declared as JSON.

    A web page of another origin cannot send this type without a preflight request, so it cannot set
    faults.
    """
    if request.content_type != "application/json":
        raise PortoneRefusal(415, "NOT_JSON")
    return await request.read()
