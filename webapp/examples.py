"""Examples in the OpenAPI document: one of every request and of every success, put together from one example of each member.

A field says its own by ``metadata={"example": …}``. What many schemas share is said here once, by the member's name, or by that of a schema and the
member where a name has several meanings. They tell one story: ten shares of Samsung Electronics bought at 70,000 won.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_NO_EXAMPLE = object()

_ORDER = "01a20503-427f-77fa-babb-6c93973e5cb0"
_EXECUTION = "01a20503-4b41-7d0e-8f0a-2f4f52b6a1c7"
_TRANSACTION = "01a20503-4c02-7c33-9a6e-0d9b6b2f7e55"
_USER = "01a204f0-11c8-7b2a-a4d1-93c3b5a0e9f2"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMWEyMDRmMCJ9.3q2-7w"  # noqa: S105 - nobody's token
_TOPIC = "/topic/v1/kr/stock/trade/A005930"
_NOW = "2026-11-20T01:00:00+00:00"

BY_NAME: Mapping[str, Any] = {
    # Every answer.
    "success": True,
    "message": "조회했습니다.",
    "next_cursor": "41",
    # People.
    "email": "me@example.com",
    "password": "correct horse",
    "current_password": "correct horse",
    "new_password": "battery staple",
    "role": "USER",
    "created_at": _NOW,
    "access_token": _TOKEN,
    "refresh_token": _TOKEN,
    "token_type": "Bearer",
    "expires_in": 900,
    "user_id": _USER,
    # Stocks and prices.
    "stock_code": "A005930",
    "stock_id": "A005930",
    "stock_name": "삼성전자",
    "name": "삼성전자",
    "market": "KOSPI",
    "kind": "STOCK",
    "price": 70_000,
    "base_price": 69_500,
    "change": 500,
    "change_rate_bp": 72,
    "volume": 12,
    "cumulative_volume": 8_412_330,
    "trade_type": "BUY",
    "exchange": "KRX",
    "traded_at": _NOW,
    "received_at": _NOW,
    "age_ms": 180,
    "freshness": "LIVE",
    "position": "1795136400000-7",
    "last_price": 70_000,
    "last_price_age_ms": 180,
    "last_traded_at": _NOW,
    "unknown": ["A999999"],
    # Orders and fills.
    "client_order_id": "my-order-1",
    "order_id": _ORDER,
    "order_ids": [_ORDER],
    "quantity": 10,
    "executed_quantity": 10,
    "remaining_quantity": 0,
    "ordered_quantity": 10,
    "executed_amount": 700_000,
    "accepted_at": _NOW,
    "finished_at": _NOW,
    "executed_at": _NOW,
    "settled_at": _NOW,
    "applied_at": _NOW,
    "execution_id": _EXECUTION,
    "amount": 700_000,
    "net_amount": 700_105,
    "commission": 105,
    "commission_ppm": 150,
    "tax": 0,
    "transaction_tax": 0,
    "rural_tax": 0,
    "rate_ppm": 150,
    "label": "위탁 수수료",
    "tick_price": 70_000,
    "tick_traded_at": _NOW,
    "tick_age_ms": 180,
    "tick_position": "1795136400000-7",
    "ms_to_fill": 41,
    "ms_to_settlement": 66,
    "ms_to_portfolio": 90,
    "largest_quantity": 14,
    "fills_at_once": True,
    "cancelled": 1,
    "orders": 1,
    "unapplied_executions": 0,
    "distance": 1_000,
    "distance_bp": 143,
    "distance_steps": 10,
    "expires_at": "2026-11-20T06:30:00+00:00",
    "next_look_at": _NOW,
    "next_opening": "2026-11-23T00:00:00+00:00",
    "halted_since": None,
    # Cash and holdings.
    "cash_balance": 9_299_895,
    "available_cash": 9_299_895,
    "reserved_cash": 0,
    "debt": 0,
    "invested_amount": 700_000,
    "holdings_value": 705_000,
    "total_assets": 10_004_895,
    "unpriced_holdings": 0,
    "stale_holdings": 0,
    "cash_balance_before": 10_000_000,
    "cash_balance_after": 9_299_895,
    "sequence": 2,
    "transaction_type": "BUY",
    "transaction_date": _NOW,
    "description": None,
    "realized_profit": 0,
    "last_sold_at": _NOW,
    "day": "2026-11-20",
    "provisional": True,
    # The exchange.
    "now": _NOW,
    "hours": "krx",
    "trading_day": True,
    "market_orders_accepted": True,
    "halted": False,
    "day_end": "2026-11-20T06:30:00+00:00",
    "opens_at": "2026-11-20T00:00:00+00:00",
    "closes_at": "2026-11-20T06:20:00+00:00",
    "session": "REGULAR",
    "date": "2026-11-20",
    "from": "2026-11-01",
    "to": "2026-11-20",
    "since": "2023-01-25",
    "corrected": False,
    "late_minutes": 0,
    "price_from": 50_000,
    "tick": 100,
    "percent": 30,
    "transaction_ppm": 500,
    "rural_ppm": 1_500,
    "reason": None,
    "halted_at": _NOW,
    "cause": "audit-breach",
    # The audit.
    "looked_at": _NOW,
    "accounts": 12,
    "duration_ms": 41,
    "accounts_total": 10_000,
    "changed": 0,
    "night": "2026-11-19T19:00:00+00:00",
    "unaudited": 0,
    "oldest_audited_at": "2026-11-19T19:00:01+00:00",
    "check": "1a cash_balance = sum of the account's Transactions",
    "times": 1,
    "found_at": _NOW,
    "seen_at": _NOW,
    "breaches_total": 1,
    "halted_total": 1,
    "resumed_at": None,
    # The relayer.
    "pid": 4_021,
    "connected": True,
    "started_at": _NOW,
    "updated_at": _NOW,
    "last_tick_at": _NOW,
    "why_disconnected": None,
    "lease_number": 3,
    "subscriptions": 42,
    "wanted": 42,
    "budget": 100,
    "left_out": [],
    "left_out_total": 0,
    "refused_total": 0,
    "malformed_total": 0,
    "repeated_total": 0,
    "conflated_total": 0,
    "waiting_ticks": 0,
    "ticks_total": 128_400,
    "reconnects": 0,
    "connections_total": 1,
    "lag_ms": 12,
    "total_count": 42,
    "topic": _TOPIC,
    "source": "command",
    "state": "CONFIRMED",
    "outcome": "done",
    "command_id": "8d0f6f3e-6a0a-4f5e-9f1c-0d8a5a3b7c11",
    # Events.
    "occurred_at": _NOW,
    "last_event_id": 7,
    # Problems, whose words are those of insufficient-cash.
    "type": "/docs/problems#insufficient-cash",
    "title": "주문 가능 금액 부족",
    "detail": "사용할 수 있는 현금이 부족합니다.",
    "instance": "/api/v1/trading/orders",
    "code": "insufficient-cash",
    "request_id": "01a20503427f77fabab6c93973e5cbb0",
}

BY_SCHEMA: Mapping[str, Any] = {
    "OrderRequest": {
        "stock_code": "A005930",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": 10,
        "price": 70_000,
        "time_in_force": "DAY",
        "client_order_id": "my-order-1",
    },
    "Registration.name": "나투자",
    "Profile.name": "나투자",
    "User.name": "나투자",
    "User.id": _USER,
    "Order.id": _ORDER,
    "Order.status": "FILLED",
    "Order.order_type": "LIMIT",
    "Order.reason": None,
    "Execution.id": _EXECUTION,
    "Execution.realized_profit": None,
    "Execution.session": "REGULAR",
    "ExplainedFill.session": "REGULAR",
    "FillCharge.name": "commission",
    "FillCharge.amount": 105,
    "OrderEnding.at": _NOW,
    "OrderEnding.status": "EXPIRED",
    "OrderEnding.reason": "day-ended",
    "OrderExplanation.status": "FILLED",
    "OrderCounts": {
        "PENDING": 0,
        "PARTIALLY_FILLED": 0,
        "FILLED": 1,
        "CANCELLED": 0,
        "REJECTED": 0,
        "EXPIRED": 0,
    },
    "Preview.reserved_cash": 700_105,
    "AccountEvent.id": 7,
    "AccountEvent.kind": "cash",
    "AccountEvent.data": {
        "transaction_id": _TRANSACTION,
        "amount": 700_000,
        "cash_balance": 9_299_895,
    },
    "AdminAction.id": "01a20503-5d10-7e2f-b1c4-5a7d0e9f3b67",
    "AdminAction.action": "trading.halt",
    "AdminAction.operator": None,
    "AdminAction.target": "01a20503-5d10-7e2f-b1c4-5a7d0e9f3b66",
    "AdminAction.details": {"reason": "점검"},
    "AdminAction.address": "203.0.113.7",
    "AdminAction.began_at": _NOW,
    "AdminAction.outcome": "halted",
    "AdminAction.outcome_details": {},
    "AdminAction.ended_at": _NOW,
    "Clock.trading_day": "2026-11-20",
    "Halt.id": "01a20503-5d10-7e2f-b1c4-5a7d0e9f3b66",
    "AccountHalt.id": "01a20503-6e21-7f3a-92d5-6b8e1faf4c77",
    "AccountHalt.reason": "1a, 7",
    "AuditBreach.sample": [
        "user_id=01a204f011c87b2aa4d193c3b5a0e9f2, cash_balance=1000, transactions=999"
    ],
    "Halt.reason": "점검",
    "Health.status": "HEALTHY",
    "Problem.status": 409,
    "Problem.errors": {"json": {"quantity": ["1 이상이어야 합니다."]}},
    "Reason.code": "halted",
    "Refused.reason": "구독이 거절되었습니다.",
    "Done.data": None,
}

_STREAM = """id: 7
event: cash
data: {"id": 7, "kind": "cash", "data": {"amount": 700000}}

"""
_MEDIA: Mapping[str, Any] = {"text/event-stream": _STREAM}


def add_examples(document: dict[str, Any]) -> None:
    """Give every request and every answer of an OpenAPI document an example where all of its members have one, and parameters theirs."""
    composer = _Composer(document["components"]["schemas"])
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            example = BY_NAME.get(parameter.get("name"), _NO_EXAMPLE)
            if parameter.get("in") == "path" and example is not _NO_EXAMPLE:
                parameter.setdefault("example", example)
        _complete(operation.get("requestBody", {}), composer, unseen="readOnly")
        for answer in operation["responses"].values():
            _complete(answer, composer, unseen="writeOnly")
    for answer in document["components"]["responses"].values():
        _complete(answer, composer, unseen="writeOnly")


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                yield operation
        yield {"parameters": shared, "responses": {}}


def _complete(part: dict[str, Any], composer: "_Composer", *, unseen: str) -> None:
    for media_type, content in part.get("content", {}).items():
        example = _MEDIA.get(media_type, _NO_EXAMPLE)
        if example is _NO_EXAMPLE:
            example = composer.example_of(content.get("schema", {}), unseen=unseen)
        if example is not _NO_EXAMPLE:
            content.setdefault("example", example)


class _Composer:
    """Puts examples together from those of members, for the schemas of one document."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas

    def example_of(
        self, node: Mapping[str, Any], *, unseen: str, name: str = "", owner: str = ""
    ) -> Any:
        """An example of a schema, without the members that are ``unseen`` in this direction; _NO_EXAMPLE where a member has none."""
        if "example" in node:
            return node["example"]
        choices = node.get("allOf") or node.get("anyOf") or node.get("oneOf")
        if choices:
            # The other choice of a member that may be null is null.
            node = next((choice for choice in choices if "$ref" in choice), choices[0])
        if "$ref" in node:
            return self._referred(node["$ref"].rpartition("/")[2], unseen)
        if "properties" in node:
            return self._members(node["properties"], unseen, owner)
        if node.get("type") == "array" and _is_composed(node["items"]):
            item = self.example_of(node["items"], unseen=unseen)
            return item if item is _NO_EXAMPLE else [item]
        example = BY_SCHEMA.get(f"{owner}.{name}", BY_NAME.get(name, _NO_EXAMPLE))
        return example if example in node.get("enum", [example]) else node["enum"][0]

    def _referred(self, schema: str, unseen: str) -> Any:
        if schema in BY_SCHEMA:
            return BY_SCHEMA[schema]
        return self.example_of(self._schemas[schema], unseen=unseen, owner=schema)

    def _members(self, members: Mapping[str, Mapping[str, Any]], unseen: str, owner: str) -> Any:
        found = {
            name: self.example_of(member, unseen=unseen, name=name, owner=owner)
            for name, member in members.items()
            if not member.get(unseen)
        }
        return _NO_EXAMPLE if _NO_EXAMPLE in found.values() else found


def _is_composed(node: Mapping[str, Any]) -> bool:
    return any(
        kind in node for kind in ("$ref", "allOf", "anyOf", "oneOf", "properties", "example")
    )
