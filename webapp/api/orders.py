"""Orders: place, list, get, amend and cancel."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from flask import Response, g
from flask.views import MethodView
from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars

from trading.db.ids import new_id
from trading.observability.logs.ids import log_with_ids
from trading.observability.metrics import instruments
from trading.orders.amend import AmendOrder, amend_order
from trading.orders.close import cancel_open_orders, cancel_order
from trading.orders.errors import OrderNotFound
from trading.orders.model import EndReason, OrderStatus
from trading.orders.place import PlaceOrder, place_order
from trading.orders.queries import OrderFilter, get_order, list_orders
from trading.orders.records import OrderRecord
from trading.pagination import Page
from trading.unit_of_work import UnitOfWork
from webapp.api.labels import (
    END_REASONS,
    ORDER_STATUSES,
    ORDER_TYPES,
    SIDES,
    TIMES_IN_FORCE,
)
from webapp.api.order_schemas import (
    AmendmentSchema,
    CancelledSchema,
    OrderListQuerySchema,
    OrderRequestSchema,
    OrderSchema,
)
from webapp.context import get_core
from webapp.http import csv_files
from webapp.http.authentication import current_user, login_required
from webapp.http.commands import is_created, is_success, run_command
from webapp.http.csv_files import Column
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, page, success

log = structlog.get_logger(__name__)

blueprint = make_blueprint("Orders", "주문")

_ACCEPTED = "주문이 접수되었습니다."
_AMENDED = "주문이 정정되었습니다."
_CANCELLED = "주문이 취소되었습니다."

_COLUMNS = (
    Column("accepted_at", "접수 일시", is_time=True),
    Column("stock_code", "종목 코드"),
    Column("stock_name", "종목명"),
    Column("side", "매수·매도", SIDES),
    Column("order_type", "주문 유형", ORDER_TYPES),
    Column("time_in_force", "주문 유효 조건", TIMES_IN_FORCE),
    Column("quantity", "주문 수량"),
    Column("price", "지정가"),
    Column("status", "상태", ORDER_STATUSES),
    Column("reason", "종료 이유", END_REASONS),
    Column("executed_quantity", "체결 수량"),
    Column("remaining_quantity", "미체결 수량"),
    Column("executed_amount", "체결 금액"),
    Column("commission", "수수료"),
    Column("tax", "세금"),
    Column("realized_profit", "실현 손익"),
    Column("reserved_cash", "주문에 묶인 예수금"),
    Column("expires_at", "만료 일시", is_time=True),
    Column("finished_at", "종료 일시", is_time=True),
    Column("client_order_id", "클라이언트 주문 번호"),
    Column("id", "주문 번호"),
)
_CSV = """accepted_at (KST),stock_code,stock_name,side,order_type,time_in_force,quantity,price,…
2026-11-20 10:00:00,A005930,삼성전자,BUY,LIMIT,DAY,10,70000,…
"""


@blueprint.route("/trading/orders")
class OrderList(MethodView):
    @login_required
    @blueprint.arguments(OrderRequestSchema)
    @blueprint.response(201, envelope(OrderSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Place an order.

        주문 접수. 주문을 바로 접수합니다. 체결은 시장 상황에 따라 비동기로 이루어집니다.
        """
        user_id, hours = current_user().user_id, get_core().market_hours()
        command = PlaceOrder(order_id=new_id(), user_id=user_id, request_id=g.request_id, **body)

        def find_committed(session: Session) -> OrderRecord | None:
            try:
                return get_order(session, user_id=user_id, order_id=command.order_id, hours=hours)
            except OrderNotFound:
                return None

        answer = run_command(
            lambda uow: place_order(uow, command),
            schema=envelope(OrderSchema),
            status=201,
            message=_ACCEPTED,
            location=f"/api/v1/trading/orders/{command.order_id}",
            find_committed=find_committed,
        )
        if is_created(answer):
            bind_contextvars(order_id=str(command.order_id))
            log.info("order_accepted", stock_code=command.stock_code)
            instruments.record(instruments.ORDERS_ACCEPTED, command.side, command.order_type)
        return answer

    @login_required
    @blueprint.arguments(OrderListQuerySchema, location="query")
    @blueprint.response(200, page(OrderSchema, counted=True))
    @blueprint.doc(**csv_files.documentation(_CSV))
    def get(self, query: dict[str, Any]) -> dict[str, object] | Response:
        """List your orders.

        주문 목록 조회. 체결 내역을 포함하여 최근 주문부터 조회합니다. 조건을 여러 개 지정하면 모두
        만족하는 주문만 조회합니다. `status`와 `stock_code`는 반복하여 여러 값을 지정할 수 있습니다.
        예: `status=FILLED&status=CANCELLED`. `Accept: text/csv`로 요청하면 조건에 맞는 전체 주문을
        CSV 파일로 받습니다. 파일의 언어는 `Accept-Language`를 따릅니다.
        """
        core, user_id = get_core(), current_user().user_id
        limit, before = query.pop("limit"), query.pop("before")
        if csv_files.is_wanted():
            return _as_csv(OrderFilter(**query), before)
        return success(
            core.snapshot(
                list_orders,
                user_id=user_id,
                wanted=OrderFilter(**query),
                limit=limit,
                before=before,
                hours=core.market_hours(),
            )
        )

    @login_required
    @blueprint.response(200, envelope(CancelledSchema))
    def delete(self) -> Response:
        """Cancel all your open orders.

        미체결 주문 일괄 취소. 모든 미체결 주문을 취소합니다. 이미 체결된 수량은 그대로 유지됩니다.
        """
        user_id = current_user().user_id
        cancelled_ids: list[UUID] = []

        def message(order_ids: list[UUID]) -> str:
            if not order_ids:
                return "취소할 미체결 주문이 없습니다."
            return f"미체결 주문 {len(order_ids)}건을 취소했습니다."

        def data(order_ids: list[UUID]) -> dict[str, object]:
            cancelled_ids[:] = order_ids
            return {"cancelled": len(order_ids), "order_ids": order_ids}

        answer = run_command(
            lambda uow: cancel_open_orders(uow, user_id=user_id),
            schema=envelope(CancelledSchema),
            message=message,
            data=data,
        )
        if cancelled_ids:
            log_with_ids(log.info, "orders_cancelled", {"order_ids": cancelled_ids})
            _count_cancelled(len(cancelled_ids))
        return answer


@blueprint.route("/trading/orders/<uuid:order_id>")
class OrderDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(OrderSchema))
    def get(self, order_id: UUID) -> dict[str, object]:
        """Get one order.

        주문 조회. 주문 한 건을 체결 내역과 함께 조회합니다.
        """
        core, user_id = get_core(), current_user().user_id
        hours = core.market_hours()
        return success(core.snapshot(get_order, user_id=user_id, order_id=order_id, hours=hours))

    @login_required
    @blueprint.arguments(AmendmentSchema)
    @blueprint.response(200, envelope(OrderSchema))
    def patch(self, body: dict[str, Any], order_id: UUID) -> Response:
        """Amend an open order.

        주문 정정. 미체결 지정가 주문의 가격이나 수량을 정정합니다. 가격을 바꾸거나 수량을 늘리면
        같은 가격의 주문 중 맨 뒤로 순서가 바뀝니다. 가격을 그대로 두고 수량을 줄이는 정정은 순서를
        유지하며, 거래 정지 중에도 할 수 있습니다. 시장가 주문은 수량만 줄일 수 있습니다. 수량은
        체결된 수량보다 많아야 합니다.
        """
        command = AmendOrder(order_id=order_id, user_id=current_user().user_id, **body)
        return _change(order_id, lambda uow: amend_order(uow, command), message=_AMENDED)

    @login_required
    @blueprint.response(200, envelope(OrderSchema))
    def delete(self, order_id: UUID) -> Response:
        """Cancel an open order.

        주문 취소. 미체결 주문을 취소합니다. 이미 모두 체결된 주문은 체결 수량과 함께 409로
        응답합니다.
        """
        user_id = current_user().user_id
        answer = _change(
            order_id,
            lambda uow: cancel_order(uow, user_id=user_id, order_id=order_id),
            message=_CANCELLED,
        )
        if is_success(answer):
            _count_cancelled(1)
        return answer


def _as_csv(wanted: OrderFilter, before: UUID | None) -> Response:
    core, user_id = get_core(), current_user().user_id
    hours = core.market_hours()

    def read(before: UUID | None) -> Page[OrderRecord]:
        return core.snapshot(
            list_orders,
            user_id=user_id,
            wanted=wanted,
            limit=csv_files.BATCH_ROWS,
            before=before,
            hours=hours,
        )

    return csv_files.respond(
        "orders", _COLUMNS, csv_files.read_pages(read, cursor=before, parse=UUID)
    )


def _count_cancelled(count: int) -> None:
    labels = OrderStatus.CANCELLED, EndReason.CANCELLED_BY_USER
    instruments.record(instruments.ORDERS_ENDED, *labels, value=count)


def _change(order_id: UUID, change: Callable[[UnitOfWork], None], *, message: str) -> Response:
    """Change an order and respond with its new state."""
    user_id = current_user().user_id

    def changed(uow: UnitOfWork) -> OrderRecord:
        hours = uow.hours
        change(uow)
        return get_order(uow.session, user_id=user_id, order_id=order_id, hours=hours)

    return run_command(changed, schema=envelope(OrderSchema), message=message)
