"""The stand-in's HTTP, on loopback: PortOne's REST API as far as taking and giving back money needs it, and a desk to move payments.

What the API has and the stand-in has not answers 501, so that nobody takes silence for an answer. The desk is not PortOne's:
``POST /sandbox/portone/payments/{id}/{move}``.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.portone.payments import STORE_ID, Payments, Refusal
from trading.settings import PORTONE_DEVELOPMENT_API_SECRET as API_SECRET

LOOPBACK = "127.0.0.1"
# The store of a secret that says none. A client that forgets to name ours finds nothing there.
DEFAULT_STORE_ID = "store-00000000-0000-4000-8000-00000000000d"
DESK = "/sandbox/portone/payments"
BODY_OCTETS_MAX = 64 * 1024
KEY_LIFE = timedelta(hours=3)
_KEY = re.compile(r'"?([!#-~]{16,256}?)"?')


@dataclass(frozen=True, slots=True)
class _Done:
    """A request that was answered under an idempotency key."""

    fingerprint: tuple[str, str, bytes]
    status: int
    body: bytes
    at: datetime


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def portone(port: int, *, clock: Callable[[], datetime] = now) -> AsyncIterator[int]:
    """Serve until the context ends; gives the port, which the system chooses for 0. OSError when it is taken."""
    stand_in = _StandIn(clock)
    application = web.Application(client_max_size=BODY_OCTETS_MAX)
    application.add_routes(
        [
            web.get("/payments/{id}", stand_in.api(stand_in.show)),
            web.post("/payments/{id}/pre-register", stand_in.api(stand_in.pre_register)),
            web.post("/payments/{id}/cancel", stand_in.api(stand_in.cancel)),
            web.post("/payments/{id}/virtual-account/close", stand_in.api(stand_in.close_account)),
            web.post(DESK + "/{id}/{move}", stand_in.desk),
            web.route("*", "/{rest:.*}", stand_in.missing),
        ]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


_Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


class _StandIn:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._payments = Payments(clock)
        self._done: dict[str, _Done] = {}

    def api(self, call: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A handler of the API: who asks, under which key, what, of which store, and only then the call."""

        async def handle(request: web.Request) -> web.Response:
            if request.headers.get("Authorization") != f"PortOne {API_SECRET}":
                return _refusal(Refusal(401, "UNAUTHORIZED"))
            body = await request.read()
            key = request.headers.get("Idempotency-Key")
            if key is None or request.method == "GET":
                return self._answer(call, request, body)
            named = _KEY.fullmatch(key)
            if named is None:
                return _refusal(Refusal(400, "INVALID_REQUEST"))
            return self._once(
                named[1], (request.method, request.path_qs, body), lambda: self._answer(call, request, body)
            )

        return handle

    def _once(self, key: str, fingerprint: tuple[str, str, bytes], answer: Callable[[], web.Response]) -> web.Response:
        done = self._done.get(key)
        if done is None or self._clock() - done.at > KEY_LIFE:
            given = answer()
            if not isinstance(given.body, bytes):
                raise TypeError("An answer of the stand-in is whole before it is sent.")
            self._done[key] = done = _Done(fingerprint, given.status, given.body, self._clock())
        elif done.fingerprint != fingerprint:
            # What the real one does is not known; a client that gets here has a fault that should show.
            return _refusal(Refusal(422, "SANDBOX_IDEMPOTENCY_KEY_REUSED"))
        return web.Response(status=done.status, body=done.body, content_type="application/json")

    def _answer(self, call: _Answer, request: web.Request, body: bytes) -> web.Response:
        try:
            members = dict(request.query) if request.method == "GET" else _members(body)
            _check_store(members)
            return _json(200, call(request.match_info["id"], members))
        except Refusal as refusal:
            return _refusal(refusal)

    def show(self, payment_id: str, _: dict[str, Any]) -> dict[str, Any]:
        return self._payments.document(payment_id)

    def pre_register(self, payment_id: str, members: dict[str, Any]) -> dict[str, Any]:
        currency = members.get("currency")
        if currency is not None and not (isinstance(currency, str) and len(currency) == 3):
            raise Refusal(400, "INVALID_REQUEST")
        self._payments.pre_register(payment_id, _amount(members, "totalAmount"), currency)
        return {}

    def cancel(self, payment_id: str, members: dict[str, Any]) -> dict[str, Any]:
        reason = members.get("reason")
        if not isinstance(reason, str) or not reason:
            raise Refusal(400, "INVALID_REQUEST")
        cancellation = self._payments.cancel(
            payment_id,
            reason=reason,
            amount=_amount(members, "amount"),
            cancellable=_amount(members, "currentCancellableAmount"),
            has_refund_account=isinstance(members.get("refundAccount"), dict),
        )
        return {"cancellation": cancellation}

    def close_account(self, payment_id: str, _: dict[str, Any]) -> dict[str, Any]:
        self._payments.close_account(payment_id)
        return {"closedAt": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")}

    async def desk(self, request: web.Request) -> web.Response:
        """What the payer, his bank or an operator does; answers the payment as it is then."""
        # A page in a browser may not send this type to another site unasked, so none can move payments here.
        if request.content_type != "application/json":
            return _refusal(Refusal(415, "NOT_JSON"))
        payment_id, move = request.match_info["id"], request.match_info["move"]
        try:
            members = _members(await request.read())
            match move:
                case "open":
                    self._payments.open(payment_id, **_opening(members))
                case "console-cancel" | "chargeback":
                    trigger = "CONSOLE" if move == "console-cancel" else "CHARGEBACK"
                    self._payments.cancel(
                        payment_id,
                        reason=move,
                        amount=_amount(members, "amount"),
                        has_refund_account=True,
                        trigger=trigger,
                    )
                case "approve-cancellation" | "reject-cancellation":
                    self._payments.settle_cancellation(payment_id, succeeds=move == "approve-cancellation")
                case _:
                    self._payments.move(payment_id, move)
            return _json(200, self._payments.document(payment_id))
        except Refusal as refusal:
            return _refusal(refusal)

    async def missing(self, _: web.Request) -> web.Response:
        return _refusal(Refusal(501, "SANDBOX_NOT_IMPLEMENTED"))


def _members(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refusal(400, "INVALID_REQUEST")
    return document


def _check_store(members: dict[str, Any]) -> None:
    if members.get("storeId", DEFAULT_STORE_ID) != STORE_ID:
        raise Refusal(404, "PAYMENT_NOT_FOUND")


def _amount(members: dict[str, Any], name: str) -> int | None:
    amount = members.get(name)
    if amount is not None and (type(amount) is not int or amount <= 0):
        raise Refusal(400, "INVALID_REQUEST")
    return amount


def _opening(members: dict[str, Any]) -> dict[str, Any]:
    kinds = {"amount": int, "currency": str, "order_name": str, "channel_type": str, "slow_cancellations": bool}
    if "amount" not in members or not _amount(members, "amount"):
        raise Refusal(400, "INVALID_REQUEST")
    if any(name not in kinds or type(value) is not kinds[name] for name, value in members.items()):
        raise Refusal(400, "INVALID_REQUEST")
    return members


def _json(status: int, members: dict[str, Any]) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(members, ensure_ascii=False).encode(), content_type="application/json"
    )


def _refusal(refusal: Refusal) -> web.Response:
    return _json(refusal.status, {"type": refusal.kind, "message": refusal.kind})
