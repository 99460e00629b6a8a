"""PortOne's browser side: the SDK for a shop's page and the simulated payment window."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from sandbox.portone.answers import (
    amount_in,
    answer,
    error_answers,
    json_body,
    parse_object,
    text_in,
)
from sandbox.portone.documents import Payment
from sandbox.portone.faults import WebhookDelivery
from sandbox.portone.merchant import LOOPBACK_HOSTS, STORE_ID
from sandbox.portone.payments import FAILURES, PortoneRefusal
from sandbox.portone.server_state import Checkout, StandIn, stand_in_of

SDK_PATH = "/v2/browser-sdk.js"
CHECKOUT = "/checkout"
REQUEST_PAYMENT = "/sandbox/portone/sdk/request-payment"
PAGES = Path(__file__).parent / "pages"
PAY_METHODS = frozenset(
    {
        "CARD",
        "VIRTUAL_ACCOUNT",
        "TRANSFER",
        "MOBILE",
        "GIFT_CERTIFICATE",
        "EASY_PAY",
        "PAYPAL",
        "ALIPAY",
        "CONVENIENCE_STORE",
        "ALIPAY_PLUS",
    }
)
# Transitions of the payment for each button of the window.
WINDOW_ACTIONS: dict[str, tuple[str, ...]] = {
    "pay": ("pay",),
    "fail": ("fail",),
    "close": ("close",),
    "issue-account": ("issue-account",),
    "pend": ("pend",),
    "close-and-approve-late": ("close", "approve-late"),
    "pay-and-die": ("pay",),
}
# Only local pages may frame the window, and it loads nothing from other origins.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; "
    "frame-ancestors http://127.0.0.1:* http://localhost:*"
)


def routes() -> list[web.RouteDef]:
    """Return the browser's routes."""
    return [
        web.get(SDK_PATH, _file("browser-sdk.js", "text/javascript")),
        web.options(REQUEST_PAYMENT, error_answers(_preflight)),
        web.post(REQUEST_PAYMENT, error_answers(_request_payment)),
        web.get(CHECKOUT + "/assets/checkout.js", _file("checkout.js", "text/javascript")),
        web.get(CHECKOUT + "/assets/checkout.css", _file("checkout.css", "text/css")),
        web.get(CHECKOUT + "/{tx}", _window),
        web.get(CHECKOUT + "/{tx}/order", error_answers(_order)),
        web.post(CHECKOUT + "/{tx}/{action}", error_answers(_apply_action)),
    ]


def _file(name: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=(PAGES / name).read_bytes(), content_type=content_type, charset="utf-8"
        )

    return serve


def _origin(request: web.Request) -> str:
    """Return the page's origin. Raise Refusal unless it is local."""
    origin = request.headers.get("Origin", "")
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        host = None
    if host not in LOOPBACK_HOSTS:
        raise PortoneRefusal(403, "FORBIDDEN")
    return origin


async def _preflight(request: web.Request) -> web.Response:
    headers = {
        "Access-Control-Allow-Origin": _origin(request),
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type",
        "Vary": "Origin",
    }
    return web.Response(status=204, headers=headers)


async def _request_payment(request: web.Request) -> web.Response:
    """Start a payment for the SDK. Answer the window's address, or `refusal` and how the SDK
    reports it.
    """
    stand_in, origin = stand_in_of(request), _origin(request)
    members = parse_object(await json_body(request))
    try:
        payment, redirect_url = _start_payment(stand_in, members)
    except PortoneRefusal as refusal:
        code = "RequestParseFailed" if refusal.kind == "INVALID_REQUEST" else refusal.kind
        refusal_body = {
            "transactionType": "PAYMENT",
            "code": code,
            "message": code,
            "paymentId": members.get("paymentId"),
        }
        given = answer(
            200, {"refusal": refusal_body, "rejects": stand_in.faults.browser_refusals == "reject"}
        )
    else:
        stand_in.checkouts[payment.transaction_id] = Checkout(payment.id, origin, redirect_url)
        stand_in.announce()
        address = f"{request.scheme}://{request.host}{CHECKOUT}/{payment.transaction_id}"
        given = answer(200, {"txId": payment.transaction_id, "checkoutUrl": address})
    given.headers["Access-Control-Allow-Origin"] = origin
    given.headers["Vary"] = "Origin"
    return given


def _start_payment(stand_in: StandIn, members: dict[str, Any]) -> tuple[Payment, str | None]:
    if members.get("storeId") != STORE_ID:
        raise PortoneRefusal(404, "StoreNotFound")
    amount, pay_method = amount_in(members, "totalAmount"), members.get("payMethod")
    if amount is None or pay_method not in PAY_METHODS:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    redirect_url = text_in(members, "redirectUrl")
    if redirect_url is not None and urlsplit(redirect_url).scheme not in {"http", "https"}:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    notice_urls = members.get("noticeUrls") or []
    if not (isinstance(notice_urls, list) and all(isinstance(url, str) for url in notice_urls)):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    custom_data = members.get("customData")
    payment = stand_in.payments.open(
        str(text_in(members, "paymentId", required=True)),
        amount=amount,
        currency=str(text_in(members, "currency", required=True)).removeprefix("CURRENCY_"),
        order_name=str(text_in(members, "orderName", required=True)),
        channel_key=str(text_in(members, "channelKey", required=True)),
        custom_data=None if custom_data is None else json.dumps(custom_data, ensure_ascii=False),
        notice_urls=tuple(notice_urls),
    )
    return payment, redirect_url if members.get("forceRedirect") is True or members.get(
        "isMobile"
    ) is True else None


async def _window(_: web.Request) -> web.Response:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return web.Response(
        body=(PAGES / "checkout.html").read_bytes(), content_type="text/html", headers=headers
    )


async def _order(request: web.Request) -> web.Response:
    """Return what the window shows of the payment."""
    payment = stand_in_of(request).payments.attempt(request.match_info["tx"])
    window_data = {
        "orderName": payment.order_name,
        "totalAmount": payment.total,
        "currency": payment.currency,
        "paymentId": payment.id,
        "channel": payment.channel.document(),
        "status": payment.status,
    }
    return answer(200, window_data)


async def _apply_action(request: web.Request) -> web.Response:
    """Apply a button's transitions and answer the result for the shop's page. None if the browser
    crashed.
    """
    stand_in, action = stand_in_of(request), request.match_info["action"]
    members = parse_object(await json_body(request))
    mailing, amount = members.get("webhook", WebhookDelivery.AUTO), amount_in(members, "amount")
    if action not in WINDOW_ACTIONS or mailing not in tuple(WebhookDelivery):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    payment = stand_in.payments.attempt(request.match_info["tx"])
    checkout = stand_in.checkouts.get(payment.transaction_id)
    if checkout is None:
        raise PortoneRefusal(404, "TransactionNotFound")
    for move in WINDOW_ACTIONS[action]:
        stand_in.payments.move(payment.id, move, amount=amount)
    stand_in.announce(WebhookDelivery(mailing))
    if action == "pay-and-die":
        return answer(200, {"result": None})
    # A late approval is not reported by the window, which was closed before.
    result = _result(
        payment, next((FAILURES[move] for move in WINDOW_ACTIONS[action] if move in FAILURES), None)
    )
    redirect = None if checkout.redirect_url is None else _with_query(checkout.redirect_url, result)
    return answer(200, {"result": result, "origin": checkout.origin, "redirect": redirect})


def _result(payment: Payment, failure: tuple[str, str] | None) -> dict[str, str]:
    result = {"transactionType": "PAYMENT", "txId": payment.transaction_id, "paymentId": payment.id}
    if payment.token is not None:
        result["paymentToken"] = payment.token
    if failure is not None:
        code, message = failure
        result |= {
            "code": "FAILURE_TYPE_PG",
            "message": f"[{code}] {message}",
            "pgCode": code,
            "pgMessage": message,
        }
    return result


def _with_query(url: str, result: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(query="&".join(filter(None, (parts.query, urlencode(result)))))
    )
