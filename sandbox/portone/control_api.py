"""Control API, not part of PortOne: payer, bank and operator actions, faults and internal state."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import web
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from sandbox.portone.answers import amount_in, answer, error_answers, json_body, parse_object
from sandbox.portone.faults import COPIES_MAX, PortoneFaults, Rule, Tampering, WebhookDelivery
from sandbox.portone.payments import PortoneRefusal
from sandbox.portone.server_state import StandIn, stand_in_of
from sandbox.portone.webhooks import Delivery, webhook_body

CONTROL_PREFIX = "/sandbox/portone"
ADVANCE_S_MAX = 366 * 24 * 3_600
_OPENING = {
    "amount": int,
    "currency": str,
    "order_name": str,
    "channel_key": str,
    "channel_type": str,
    "slow_cancellations": bool,
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Advance(_Body):
    seconds: int = Field(gt=0, le=ADVANCE_S_MAX)


class _Flush(_Body):
    order: list[str] | None = None
    times: int = Field(default=1, ge=1, le=COPIES_MAX)


class _Send(_Body):
    """An arbitrary webhook: `octets` are the raw body, else it is built from `type` and `data`."""

    type: str = "Transaction.Paid"
    data: Any = None
    octets: Base64Bytes | None = None
    content_type: str = "application/json"
    url: str | None = None
    tampering: Tampering | None = None


def routes() -> list[web.RouteDef]:
    """Return the routes of the control API."""
    return [
        web.post(CONTROL_PREFIX + "/payments/{id}/{move}", _write_handler(_move)),
        web.post(CONTROL_PREFIX + "/reset", _write_handler(_reset)),
        web.post(CONTROL_PREFIX + "/clock/advance", _write_handler(_advance)),
        web.get(CONTROL_PREFIX + "/state", _read_handler(_state)),
        web.get(CONTROL_PREFIX + "/requests", _read_handler(_requests)),
        web.get(CONTROL_PREFIX + "/faults", _read_handler(_faults)),
        web.put(CONTROL_PREFIX + "/faults", _write_handler(_set_faults)),
        web.post(CONTROL_PREFIX + "/faults", _write_handler(_add_rule)),
        web.get(CONTROL_PREFIX + "/webhooks", _read_handler(_webhooks)),
        web.post(CONTROL_PREFIX + "/webhooks/flush", _write_handler(_flush)),
        web.post(CONTROL_PREFIX + "/webhooks/send", _write_handler(_send)),
        web.post(CONTROL_PREFIX + "/webhooks/{webhook}/redeliver", _write_handler(_redeliver)),
    ]


def _write_handler(call: Callable[[StandIn, web.Request, bytes], Awaitable[Any]]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await json_body(request)
        return answer(200, await call(stand_in_of(request), request, body))

    return error_answers(handle)


def _read_handler(call: Callable[[StandIn], Any]) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return answer(200, call(stand_in_of(request)))

    return error_answers(handle)


async def _move(stand_in: StandIn, request: web.Request, body: bytes) -> dict[str, Any]:
    """Apply a transition to a payment and return the payment. `webhook` sets the delivery of its
    webhook.
    """
    payment_id, move = request.match_info["id"], request.match_info["move"]
    members = parse_object(body)
    mailing = members.pop("webhook", None)
    if mailing not in (None, *WebhookDelivery):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    payments = stand_in.payments
    match move:
        case "open":
            payments.open(payment_id, **_opening(members))
        case "console-cancel" | "chargeback":
            payments.cancel(
                payment_id,
                reason=move,
                amount=amount_in(members, "amount"),
                has_refund_account=True,
                trigger="CONSOLE" if move == "console-cancel" else "CHARGEBACK",
            )
        case "approve-cancellation" | "reject-cancellation":
            payments.settle_cancellation(payment_id, succeeds=move == "approve-cancellation")
        case "dispute-open" | "dispute-resolve":
            payments.dispute(payment_id, resolved=move == "dispute-resolve")
        case _:
            payments.move(payment_id, move, amount=amount_in(members, "amount"))
    stand_in.announce(None if mailing is None else WebhookDelivery(mailing))
    return stand_in.document(payment_id)


def _opening(members: dict[str, Any]) -> dict[str, Any]:
    if amount_in(members, "amount") is None:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    if any(
        name not in _OPENING or type(value) is not _OPENING[name] for name, value in members.items()
    ):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return members


async def _reset(stand_in: StandIn, _: web.Request, __: bytes) -> dict[str, Any]:
    await stand_in.reset()
    return {}


async def _advance(stand_in: StandIn, _: web.Request, body: bytes) -> dict[str, str]:
    span = _Advance.model_validate_json(body)
    stand_in.clock.advance(timedelta(seconds=span.seconds))
    return {"now": stand_in.clock().isoformat()}


def _state(stand_in: StandIn) -> dict[str, Any]:
    payments = [stand_in.document(payment.id) for payment in stand_in.payments.all()]
    return {
        "payments": payments,
        "pinned": stand_in.payments.pinned(),
        "now": stand_in.clock().isoformat(),
    }


def _requests(stand_in: StandIn) -> dict[str, Any]:
    """Return the API's last requests, oldest first, without the secret."""
    return {"requests": list(stand_in.requests)}


def _faults(stand_in: StandIn) -> Any:
    return stand_in.faults.model_dump(mode="json")


async def _set_faults(stand_in: StandIn, _: web.Request, body: bytes) -> Any:
    stand_in.set_faults(PortoneFaults.model_validate_json(body))
    return _faults(stand_in)


async def _add_rule(stand_in: StandIn, _: web.Request, body: bytes) -> Any:
    stand_in.faults.rest.append(Rule.model_validate_json(body))
    return _faults(stand_in)


def _webhooks(stand_in: StandIn) -> dict[str, Any]:
    return {"webhooks": [delivery.summary() for delivery in stand_in.sender.deliveries.values()]}


async def _flush(stand_in: StandIn, _: web.Request, body: bytes) -> dict[str, Any]:
    flush = _Flush.model_validate_json(body)
    return {
        "webhooks": [
            delivery.summary() for delivery in await stand_in.sender.flush(flush.order, flush.times)
        ]
    }


async def _send(stand_in: StandIn, _: web.Request, body: bytes) -> dict[str, Any]:
    """Send a webhook with any content once, and return the receiver's answer."""
    parameters = _Send.model_validate_json(body)
    url = parameters.url or stand_in.mail.url
    if url is None:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    made = webhook_body(parameters.type, parameters.data, at=stand_in.clock())
    delivery = Delivery(
        id=stand_in.payments.identifier(),
        type=parameters.type,
        url=url,
        body=made if parameters.octets is None else parameters.octets,
        content_type=parameters.content_type,
        tampering=parameters.tampering,
    )
    stand_in.sender.dispatch(delivery, WebhookDelivery.HOLD)
    if delivery.state == "HELD":
        await stand_in.sender.attempt(delivery)
    return delivery.summary()


async def _redeliver(stand_in: StandIn, request: web.Request, _: bytes) -> dict[str, Any]:
    return (await stand_in.sender.redeliver(request.match_info["webhook"])).summary()
