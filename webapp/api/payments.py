"""Payments by PortOne and their refunds."""

from functools import partial
from typing import Any
from uuid import UUID

import structlog
from flask import Response, request
from flask.views import MethodView
from flask_smorest import Blueprint
from structlog.contextvars import bind_contextvars
from werkzeug.exceptions import UnsupportedMediaType

from trading.db.ids import new_id
from trading.errors import Forbidden
from trading.payments.errors import PaymentNotFound
from trading.payments.model import is_payment_id
from trading.payments.portone.webhooks import InvalidWebhook, Webhook, WebhookVerifier
from trading.payments.prepare import NewPayment, prepare_payment, record_notification
from trading.payments.queries import get_payment, list_payments
from trading.payments.records import PaymentRecord
from trading.payments.refunds import RequestRefund, request_refund
from trading.problems import MIMETYPE
from trading.unit_of_work import UnitOfWork
from webapp.api.payment_schemas import (
    CompletionSchema,
    PaymentListQuerySchema,
    PaymentSchema,
    PaymentShortSchema,
    PaymentStateSchema,
    PreparationSchema,
    PreparedSchema,
    RefundRequestSchema,
    RefundSchema,
)
from webapp.context import PREFIX, get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.commands import run_command
from webapp.http.openapi import make_blueprint
from webapp.http.problems import problem
from webapp.http.schemas import ProblemSchema, TaskResultSchema, envelope, page, success

log = structlog.get_logger(__name__)

blueprint = make_blueprint("Payments", "결제와 환불")
# Not a checked blueprint: the signature covers the raw bytes of the body.
webhooks = Blueprint(
    "PaymentWebhooks", __name__, url_prefix=PREFIX, description="포트원이 보내는 알림"
)

_EVENTS_OF_PAYMENTS = "Transaction."


@blueprint.route("/payments/portone/prepare")
class PreparePayment(MethodView):
    @login_required
    @blueprint.arguments(PreparationSchema)
    @blueprint.response(201, envelope(PreparedSchema))
    @blueprint.alt_response(
        409, schema=ProblemSchema, content_type=MIMETYPE, description="cash-limit-exceeded"
    )
    @blueprint.alt_response(
        502, schema=ProblemSchema, content_type=MIMETYPE, description="payment-service-refused"
    )
    @blueprint.alt_response(
        503, schema=ProblemSchema, content_type=MIMETYPE, description="payment-service-unavailable"
    )
    def post(self, body: dict[str, Any]) -> Response:
        """Prepare a payment.

        결제 준비. 결제 금액을 저장하고 포트원에 사전 등록합니다. 응답을 그대로 결제창에 전달해
        주세요.
        """
        core, user_id, payment_id = get_core(), current_user().user_id, new_id()
        command = NewPayment(
            payment_id=payment_id,
            user_id=user_id,
            amount=body["amount"],
            order_name=body["order_name"],
        )
        bind_contextvars(payment_id=payment_id.hex)

        def checkout_of(payment: PaymentRecord) -> dict[str, object]:
            return {
                "store_id": core.settings.portone_store_id,
                "channel_key": core.settings.channel_keys[0],
                "payment_id": payment.payment_id,
                "order_name": payment.order_name,
                "amount": payment.amount,
                "currency": payment.currency,
            }

        return run_command(
            partial(_payment, user_id=user_id, payment_id=payment_id),
            schema=envelope(PreparedSchema),
            status=201,
            message="결제를 준비했습니다.",
            location=f"{PREFIX}/payments/{payment_id.hex}",
            data=checkout_of,
            before_transaction=lambda: prepare_payment(core, core.portone, command),
        )


@blueprint.route("/payments/portone/complete")
class CompletePayment(MethodView):
    @login_required
    @blueprint.arguments(CompletionSchema)
    @blueprint.response(202, envelope(PaymentStateSchema))
    @blueprint.alt_response(
        404, schema=ProblemSchema, content_type=MIMETYPE, description="payment-not-found"
    )
    def post(self, body: dict[str, Any]) -> Response:
        """Request verification of a payment.

        결제 확인 요청. 결제창의 결과와 관계없이 서버가 포트원에서 결제를 조회합니다. 결과는 `GET
        /payments/{payment_id}`로 확인해 주세요.
        """
        user_id, payment_id = current_user().user_id, _id(body["payment_id"])

        def complete(uow: UnitOfWork) -> PaymentRecord:
            if not record_notification(uow, payment_id, user_id=user_id):
                raise PaymentNotFound
            return _payment(uow, user_id=user_id, payment_id=payment_id)

        return run_command(
            complete,
            schema=envelope(PaymentStateSchema),
            status=202,
            message="결제를 확인하고 있습니다.",
        )


@webhooks.route("/payments/portone/webhook")
class ReceivePortoneWebhook(MethodView):
    @webhooks.response(200, TaskResultSchema)
    @webhooks.alt_response(
        400, schema=ProblemSchema, content_type=MIMETYPE, description="webhook-refused"
    )
    @webhooks.alt_response(
        503, schema=ProblemSchema, content_type=MIMETYPE, description="payment-webhooks-off"
    )
    def post(self) -> dict[str, object] | Response:
        """Receive a PortOne webhook.

        포트원 웹훅 수신. 포트원 웹훅(2024-04-25)의 서명을 확인하고 해당 결제의 조회를 예약합니다.
        결제 상태는 본문이 아니라 포트원 조회로 확인합니다.
        """
        core = get_core()
        settings = core.settings
        if settings.webhook_addresses and request.remote_addr not in settings.webhook_addresses:
            raise Forbidden
        if not settings.webhook_secrets:
            return problem("payment-webhooks-off")
        if request.mimetype != "application/json":
            raise UnsupportedMediaType
        try:
            verifier = WebhookVerifier(settings.webhook_secrets)
            webhook = verifier.verify(request.get_data(), dict(request.headers), now=core.clock())
        except InvalidWebhook as invalid:
            log.warning("webhook_refused", reason=invalid.fault)
            return problem("webhook-refused", reason=invalid.fault)
        return success(None, _taken(webhook))


def _taken(webhook: Webhook) -> str:
    """Record a webhook's notification and return the message; PortOne reads only the status."""
    core = get_core()
    known = False
    if webhook.type.startswith(_EVENTS_OF_PAYMENTS) and is_payment_id(webhook.payment_id or ""):
        payment_id = _id_or_none(webhook.payment_id or "")
        if payment_id is not None and webhook.store_id == core.settings.portone_store_id:
            bind_contextvars(payment_id=payment_id.hex)
            known = core.run(record_notification, payment_id)
    note = log.info if known else log.warning
    # The type is signed by PortOne. Log nothing else from the body except our own ids.
    note("webhook_accepted" if known else "webhook_unmatched", type=webhook.type[:64])
    return "확인했습니다." if known else "해당하는 결제가 없습니다."


@blueprint.route("/payments")
class PaymentList(MethodView):
    @login_required
    @blueprint.arguments(PaymentListQuerySchema, location="query")
    @blueprint.response(200, page(PaymentShortSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """List your payments.

        결제 목록 조회. 내 결제를 최근 순으로 조회합니다.
        """
        user_id = current_user().user_id
        return success(get_core().read(list_payments, user_id=user_id, **filters))


@blueprint.route("/payments/<payment_id>")
class PaymentDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(PaymentSchema))
    @blueprint.alt_response(
        404, schema=ProblemSchema, content_type=MIMETYPE, description="payment-not-found"
    )
    def get(self, payment_id: str) -> dict[str, object]:
        """Get one payment.

        결제 조회. 내 결제 한 건을 취소와 환불 내역과 함께 조회합니다.
        """
        user_id, identifier = current_user().user_id, _id(payment_id)
        return success(get_core().read(get_payment, user_id=user_id, payment_id=identifier))


@blueprint.route("/payments/<payment_id>/cancel")
class RefundPayment(MethodView):
    @login_required
    @blueprint.arguments(RefundRequestSchema)
    @blueprint.response(202, envelope(RefundSchema))
    @blueprint.alt_response(
        404, schema=ProblemSchema, content_type=MIMETYPE, description="payment-not-found"
    )
    @blueprint.alt_response(
        409,
        schema=ProblemSchema,
        content_type=MIMETYPE,
        description=(
            "payment-not-refundable, refund-needs-bank-account, refund-exceeds-payment, "
            "insufficient-cash, account-overdrawn"
        ),
    )
    def post(self, body: dict[str, Any], payment_id: str) -> Response:
        """Request a refund.

        환불 요청. 환불 금액을 예수금에서 묶어 두고 포트원에 취소를 요청합니다. 금액을 지정하지
        않으면 남은 전액을 환불합니다. 가상계좌로 입금한 결제처럼 환불받을 계좌가 필요한 결제는
        환불할 수 없습니다.
        """
        command = RequestRefund(
            refund_id=new_id(), payment_id=_id(payment_id), user_id=current_user().user_id, **body
        )
        bind_contextvars(refund_id=str(command.refund_id))
        return run_command(
            partial(request_refund, command=command),
            schema=envelope(RefundSchema),
            status=202,
            message="환불을 요청했습니다.",
            location=f"{PREFIX}/payments/{command.payment_id.hex}",
        )


def _payment(uow: UnitOfWork, *, user_id: UUID, payment_id: UUID) -> PaymentRecord:
    return get_payment(uow.session, user_id=user_id, payment_id=payment_id)


def _id(payment_id: str) -> UUID:
    """Return the UUID of a payment id; raise PaymentNotFound for any other text."""
    identifier = _id_or_none(payment_id)
    if identifier is None:
        raise PaymentNotFound
    bind_contextvars(payment_id=identifier.hex)
    return identifier


def _id_or_none(payment_id: str) -> UUID | None:
    try:
        return UUID(hex=payment_id) if is_payment_id(payment_id) else None
    except ValueError:
        return None
