"""Searches for payments: a filtered page, and all payments of a store by cursor."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.portone.answers import amount_in, text_in
from sandbox.portone.documents import Payment
from sandbox.portone.merchant import DEFAULT_STORE_ID, STORE_ID
from sandbox.portone.payments import PortoneRefusal
from sandbox.portone.server_state import StandIn

WINDOW = timedelta(days=90)
PAGED_MAX = 60_000
SIZE_MAX = 1_000
SIZE = 10
# The filter uses another name for this status.
_FILTERED_AS = {"PAY_PENDING": "PENDING"}

Members = dict[str, Any]


def find_page(stand_in: StandIn, parameters: Members) -> Members:
    """Answer `GET /payments`: newest first; without a store in the filter, those of all stores."""
    page, wanted = _object(parameters, "page"), _object(parameters, "filter")
    number, size = amount_in(page, "number", least=0) or 0, amount_in(page, "size") or SIZE
    if size > SIZE_MAX or (number + 1) * size > PAGED_MAX:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    statuses = wanted.get("status")
    if statuses is not None and not (
        isinstance(statuses, list) and all(isinstance(one, str) for one in statuses)
    ):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    found = [] if wanted.get("storeId", STORE_ID) != STORE_ID else _between(stand_in, wanted)
    if statuses:
        found = [
            payment
            for payment in found
            if _FILTERED_AS.get(payment.status, payment.status) in statuses
        ]
    if isinstance(wanted.get("isTest"), bool):
        found = [
            payment for payment in found if (payment.channel.type == "TEST") is wanted["isTest"]
        ]
    found.reverse()
    items = [
        stand_in.document(payment.id) for payment in found[number * size : (number + 1) * size]
    ]
    return {"items": items, "page": {"number": number, "size": size, "totalCount": len(found)}}


def find_by_cursor(stand_in: StandIn, parameters: Members) -> Members:
    """Answer `GET /payments-by-cursor`: oldest first, after the cursor, which is a payment's id
    here.
    """
    size, cursor = amount_in(parameters, "size") or SIZE, text_in(parameters, "cursor")
    if size > SIZE_MAX:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    found = (
        _between(stand_in, parameters)
        if parameters.get("storeId", DEFAULT_STORE_ID) == STORE_ID
        else []
    )
    if cursor is not None:
        places = [place for place, payment in enumerate(found) if payment.id == cursor]
        if not places:
            raise PortoneRefusal(400, "INVALID_REQUEST")
        found = found[places[0] + 1 :]
    return {
        "items": [{"payment": stand_in.document(one.id), "cursor": one.id} for one in found[:size]]
    }


def _between(stand_in: StandIn, wanted: Members) -> list[Payment]:
    until = _instant(wanted, "until") or stand_in.clock()
    start = _instant(wanted, "from") or until - WINDOW
    return sorted(
        (payment for payment in stand_in.payments.all() if start <= payment.requested_at <= until),
        key=lambda payment: payment.requested_at,
    )


def _instant(members: Members, name: str) -> datetime | None:
    text = text_in(members, name)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise PortoneRefusal(400, "INVALID_REQUEST") from None
    if instant.tzinfo is None:
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return instant


def _object(members: Members, name: str) -> Members:
    value = members.get(name, {})
    if not isinstance(value, dict):
        raise PortoneRefusal(400, "INVALID_REQUEST")
    return value
