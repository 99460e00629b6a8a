"""Schemas of payments."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from trading.payments.model import PaymentStatus, is_payment_id
from trading.payments.order_names import OCTETS_MAX
from trading.payments.portone_payment import KRW
from trading.payments.refund_model import RefundStatus
from webapp.http.fields import IdCursor, Line, Text, Whole
from webapp.http.schemas import PageQuerySchema

_ID = "019aa2044b7d7c3a9a0c5f1e2d3b4a59"
_REFUND_ID = "019aa204-4b7d-7c3a-9a0c-5f1e2d3b4a60"
_AT = "2026-11-20T01:00:00.123456+00:00"


class PaymentIdField(fields.String):
    """A payment id as returned by the prepare endpoint: 32 lower-case letters and digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if not is_payment_id(text):
            raise ValidationError("결제 번호가 올바르지 않습니다.")
        return text


class PreparationSchema(Schema):
    amount = Whole(
        required=True,
        low="payment_amount_min",
        high="payment_amount_max",
        metadata={"example": 10_000, "description": "결제 금액 (원)"},
    )
    order_name = Line(
        high=200,
        required=True,
        metadata={
            "example": "프리미엄 구독",
            "description": f"결제창에 표시할 주문명. 정리 후 UTF-8 {OCTETS_MAX}바이트까지",
        },
    )
    currency = fields.String(
        load_default=KRW,
        validate=validate.OneOf([KRW]),
        metadata={"example": KRW, "description": "KRW만 가능"},
    )


class PreparedSchema(Schema):
    """Arguments for `PortOne.requestPayment` in the browser."""

    store_id = fields.String(
        required=True, metadata={"example": "store-00000000-0000-4000-8000-000000000001"}
    )
    channel_key = fields.String(
        required=True, metadata={"example": "channel-key-00000000-0000-4000-8000-000000000001"}
    )
    payment_id = fields.String(required=True, metadata={"example": _ID})
    order_name = fields.String(required=True, metadata={"example": "프리미엄 구독"})
    amount = fields.Integer(required=True, metadata={"example": 10_000})
    currency = fields.String(required=True, metadata={"example": KRW})


class CompletionSchema(Schema):
    payment_id = PaymentIdField(required=True, metadata={"example": _ID})


class PaymentStateSchema(Schema):
    payment_id = fields.String(required=True, metadata={"example": _ID})
    status = fields.String(
        required=True, metadata={"example": PaymentStatus.PENDING, "enum": list(PaymentStatus)}
    )


class RefundRequestSchema(Schema):
    amount = Whole(
        load_default=None,
        allow_none=True,
        metadata={"example": 3_000, "description": "환불 금액 (원). 지정하지 않으면 남은 전액"},
    )
    reason = Text(high=50, load_default="고객 환불", metadata={"example": "단순 변심"})


class RefundSchema(Schema):
    """A refund; `failure` is the reason why it failed, from PortOne or from us."""

    id = fields.UUID(required=True, metadata={"example": _REFUND_ID})
    payment_id = fields.String(required=True, metadata={"example": _ID})
    amount = fields.Integer(required=True, metadata={"example": 3_000})
    status = fields.String(
        required=True, metadata={"example": RefundStatus.REQUESTED, "enum": list(RefundStatus)}
    )
    reason = fields.String(required=True, metadata={"example": "단순 변심"})
    failure = fields.String(allow_none=True, metadata={"example": None})
    requested_at = fields.AwareDateTime(required=True, metadata={"example": _AT})
    finished_at = fields.AwareDateTime(allow_none=True, metadata={"example": None})


class CancellationSchema(Schema):
    """A cancellation; `trigger` is PortOne's value: API, CONSOLE, PORTONE_ADMIN, CHARGEBACK or a
    new one.
    """

    id = fields.String(required=True, metadata={"example": "019b7721-b400-e720-9452-000000000007"})
    amount = fields.Integer(required=True, metadata={"example": 3_000})
    trigger = fields.String(allow_none=True, metadata={"example": "API"})
    refund_id = fields.UUID(allow_none=True, metadata={"example": _REFUND_ID})
    booked_at = fields.AwareDateTime(required=True, metadata={"example": _AT})


class VirtualAccountSchema(Schema):
    bank = fields.String(allow_none=True, metadata={"example": "KOOKMIN"})
    number = fields.String(allow_none=True, metadata={"example": "X0000000000001"})
    expires_at = fields.AwareDateTime(allow_none=True, metadata={"example": _AT})


class PaymentShortSchema(Schema):
    """A payment in won.

    `held_amount` is reserved for refunds in progress; `virtual_account` is the account to pay into.
    """

    payment_id = fields.String(required=True, metadata={"example": _ID})
    order_name = fields.String(required=True, metadata={"example": "프리미엄 구독"})
    amount = fields.Integer(required=True, metadata={"example": 10_000})
    currency = fields.String(required=True, metadata={"example": KRW})
    status = fields.String(
        required=True, metadata={"example": PaymentStatus.CREDITED, "enum": list(PaymentStatus)}
    )
    cancelled_amount = fields.Integer(required=True, metadata={"example": 0})
    held_amount = fields.Integer(required=True, metadata={"example": 0})
    refundable_amount = fields.Integer(required=True, metadata={"example": 10_000})
    created_at = fields.AwareDateTime(required=True, metadata={"example": _AT})
    expires_at = fields.AwareDateTime(required=True, metadata={"example": _AT})
    credited_at = fields.AwareDateTime(allow_none=True, metadata={"example": _AT})
    failure = fields.String(allow_none=True, metadata={"example": None})
    method = fields.String(
        allow_none=True,
        metadata={
            "example": "PaymentMethodCard",
            "description": "포트원에서 확인한 결제 수단. 확인 전이면 null",
        },
    )
    virtual_account = fields.Nested(VirtualAccountSchema, allow_none=True)
    receipt_url = fields.String(allow_none=True, metadata={"example": "https://receipt.example/1"})


class PaymentSchema(PaymentShortSchema):
    cancellations = fields.List(fields.Nested(CancellationSchema), required=True)
    refunds = fields.List(fields.Nested(RefundSchema), required=True)


class PaymentListQuerySchema(PageQuerySchema):
    """Loads as the keyword arguments of the payments query."""

    cursor = IdCursor(attribute="before", load_default=None)
    status = fields.Enum(PaymentStatus, by_value=True, load_default=None)
