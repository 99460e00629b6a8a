"""PortOne's REST API (V2) for payments and cancellations. Other endpoints answer 501."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import web

from sandbox.portone.answers import amount_in, answer, error_answer, parse_object, text_in
from sandbox.portone.documents import time
from sandbox.portone.faults import Rule, patched
from sandbox.portone.merchant import API_SECRET, DEFAULT_STORE_ID, STORE_ID
from sandbox.portone.payments import PortoneRefusal
from sandbox.portone.search import find_by_cursor, find_page
from sandbox.portone.server_state import IdempotentRequest, StandIn, stand_in_of
from sandbox.sockets import reset

BODY_OCTETS_MAX = 64 * 1024
KEY_LIFE = timedelta(hours=3)
HANG_S = 3_600
_KEY = re.compile(r'"?([!#-~]{16,256}?)"?')

Members = dict[str, Any]
_Answer = Callable[[StandIn, str, Members], Members | Awaitable[Members]]


def routes() -> list[web.RouteDef]:
    """Return the API's routes."""
    payment = "/payments/{id}"
    return [
        web.post("/login/api-secret", _handler(_login, signed_in=False)),
        web.get("/payments", _handler(_search, in_query=True)),
        web.get("/payments-by-cursor", _handler(_read_on, in_query=True)),
        web.get(payment, _handler(_show, in_query=True)),
        web.post(payment + "/pre-register", _handler(_pre_register)),
        web.post(payment + "/confirm", _handler(_confirm)),
        web.post(payment + "/cancel", _handler(_cancel)),
        web.post(payment + "/virtual-account/close", _handler(_close_account, in_query=True)),
        web.post(payment + "/resend-webhook", _handler(_resend_webhook)),
    ]


async def missing(_: web.Request) -> web.Response:
    """Answer 501 for an endpoint that the stand-in lacks."""
    return error_answer(PortoneRefusal(501, "SANDBOX_NOT_IMPLEMENTED"))


def _handler(
    call: _Answer, *, signed_in: bool = True, in_query: bool = False
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return an API handler that applies faults, authentication, idempotency, validation and store
    checks.

    Parameters are read from the body, or with `in_query` from the query string, which then ignores
    the body.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        stand_in = stand_in_of(request)
        body = await request.read()
        if len(body) > BODY_OCTETS_MAX:
            raise web.HTTPRequestEntityTooLarge(max_size=BODY_OCTETS_MAX, actual_size=len(body))
        rule = (
            stand_in.faults.rule_for(request.method, request.path, stand_in.rng.random()) or Rule()
        )
        record = _record(stand_in, request, body)
        if rule.drop == "before":
            return _dropped(request)
        if rule.answer is not None:
            await _delay_answer(rule)
            given: web.StreamResponse = web.Response(
                status=rule.answer.status, text=rule.answer.body, headers=rule.answer.headers
            )
        else:
            try:
                if signed_in:
                    _check_credentials(stand_in, request)
                parameters = None if in_query else body
                given = await _answer_once(
                    stand_in,
                    request,
                    body,
                    lambda: _answer(stand_in, call, request, parameters, rule),
                )
            except PortoneRefusal as refusal:
                given = error_answer(refusal)
        record["status"] = given.status
        if rule.drop == "after":
            return _dropped(request)
        return await _truncated(request, given) if rule.truncate else given

    return handle


def _record(stand_in: StandIn, request: web.Request, body: bytes) -> Members:
    record: Members = {
        "at": time(stand_in.clock(), fraction=True),
        "method": request.method,
        "path": request.path_qs,
        "authorization": request.headers.get("Authorization", "").partition(" ")[0],
        "idempotencyKey": request.headers.get("Idempotency-Key"),
        "body": body.decode("utf-8", "replace"),
    }
    stand_in.requests.append(record)
    return record


def _check_credentials(stand_in: StandIn, request: web.Request) -> None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    expires_at = stand_in.tokens.get(secret) if scheme == "Bearer" else None
    if not (scheme == "PortOne" and secret == API_SECRET) and (
        expires_at is None or stand_in.clock() >= expires_at
    ):
        raise PortoneRefusal(401, "UNAUTHORIZED")


async def _answer_once(
    stand_in: StandIn,
    request: web.Request,
    body: bytes,
    work: Callable[[], Awaitable[web.Response]],
) -> web.Response:
    """Return the answer of `work`, or the identical answer stored under the idempotency key."""
    header = request.headers.get("Idempotency-Key")
    if header is None or request.method == "GET":
        return await work()
    named = _KEY.fullmatch(header)
    if named is None:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    key, fingerprint = named[1], (request.method, request.path_qs, body)
    done = stand_in.done.get(key)
    if done is not None and stand_in.clock() - done.at <= KEY_LIFE:
        if done.fingerprint != fingerprint:
            # PortOne's behaviour is unknown; this makes a client's mistake visible.
            raise PortoneRefusal(422, "SANDBOX_IDEMPOTENCY_KEY_REUSED")
        if done.body is None:
            raise PortoneRefusal(409, "IDEMPOTENCY_OUTSTANDING_REQUEST")
        return web.Response(status=done.status, body=done.body, content_type="application/json")
    stand_in.done[key] = IdempotentRequest(fingerprint, stand_in.clock())
    given = await work()
    if not isinstance(given.body, bytes):
        raise TypeError("An answer of the stand-in is whole before it is sent.")
    stand_in.done[key] = IdempotentRequest(fingerprint, stand_in.clock(), given.status, given.body)
    return given


async def _answer(
    stand_in: StandIn, call: _Answer, request: web.Request, body: bytes | None, rule: Rule
) -> web.Response:
    await _delay_answer(rule)
    payment_id = request.match_info.get("id", "")
    try:
        members: Members = (
            {**request.query, "stale": rule.stale} if body is None else parse_object(body)
        )
        if payment_id:
            _check_store(members)
        result = call(stand_in, payment_id, members)
        document = await result if isinstance(result, Awaitable) else result
    except PortoneRefusal as refusal:
        return error_answer(refusal)
    stand_in.announce()
    return answer(200, patched(document, rule))


def _check_store(members: Members) -> None:
    if members.get("storeId", DEFAULT_STORE_ID) != STORE_ID:
        raise PortoneRefusal(404, "PAYMENT_NOT_FOUND")


async def _delay_answer(rule: Rule) -> None:
    await asyncio.sleep(HANG_S if rule.hang else rule.delay_ms / 1000)


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        reset(request.transport)
    return web.Response()


async def _truncated(request: web.Request, given: web.StreamResponse) -> web.StreamResponse:
    body = given.body if isinstance(given, web.Response) and isinstance(given.body, bytes) else b""
    response = web.StreamResponse(status=given.status, headers={"Content-Type": given.content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _login(stand_in: StandIn, _: str, members: Members) -> Members:
    if members.get("apiSecret") != API_SECRET:
        raise PortoneRefusal(401, "UNAUTHORIZED")
    # The refresh token cannot be used.
    return {"accessToken": stand_in.issue_token(), "refreshToken": stand_in.payments.identifier()}


def _show(stand_in: StandIn, payment_id: str, members: Members) -> Members:
    return stand_in.document(payment_id, stale=members["stale"])


def _search(stand_in: StandIn, _: str, members: Members) -> Members:
    return find_page(stand_in, parse_object(members.get("requestBody", "{}")))


def _read_on(stand_in: StandIn, _: str, members: Members) -> Members:
    return find_by_cursor(stand_in, parse_object(members.get("requestBody", "{}")))


def _pre_register(stand_in: StandIn, payment_id: str, members: Members) -> Members:
    currency = members.get("currency")
    if currency is not None and not (isinstance(currency, str) and len(currency) == 3):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    amount_in(members, "taxFreeAmount", least=0)
    stand_in.payments.pre_register(payment_id, amount_in(members, "totalAmount"), currency)
    return {}


def _confirm(stand_in: StandIn, payment_id: str, members: Members) -> Members:
    names = ("txId", "currency", "totalAmount", "taxFreeAmount", "isTest")
    token = text_in(members, "paymentToken", required=True)
    return dict(
        stand_in.payments.confirm(
            payment_id, token=str(token), **{name: members.get(name) for name in names}
        )
    )


def _cancel(stand_in: StandIn, payment_id: str, members: Members) -> Members:
    cancellation = stand_in.payments.cancel(
        payment_id,
        reason=str(text_in(members, "reason", required=True)),
        amount=amount_in(members, "amount"),
        tax_free=amount_in(members, "taxFreeAmount", least=0) or 0,
        vat=amount_in(members, "vatAmount", least=0),
        cancellable=amount_in(members, "currentCancellableAmount"),
        has_refund_account=_has_refund_account(members),
        without_webhook=members.get("skipWebhook") is True,
    )
    return {"cancellation": cancellation}


def _has_refund_account(members: Members) -> bool:
    account = members.get("refundAccount")
    if account is None:
        return False
    if not isinstance(account, dict):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return all(text_in(account, name, required=True) for name in ("bank", "number", "holderName"))


def _close_account(stand_in: StandIn, payment_id: str, _: Members) -> Members:
    stand_in.payments.close_account(payment_id)
    return {"closedAt": time(stand_in.clock())}


async def _resend_webhook(stand_in: StandIn, payment_id: str, members: Members) -> Members:
    stand_in.payments.payment(payment_id)
    return {"webhook": await stand_in.sender.resend(payment_id, text_in(members, "webhookId"))}
