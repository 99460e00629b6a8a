"""Orders: place, list, look at, amend and cancel."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from flask import Response, g
from flask.views import MethodView
from marshmallow import RAISE
from sqlalchemy.orm import Session
from structlog.contextvars import bind_contextvars

from trading.database.ids import new_id
from trading.logs.ids import tell
from trading.metrics import counting
from trading.queries.orders import order_of, orders_cancelled_at, orders_of
from trading.rules.errors import OrderNotFound
from trading.rules.orders import EndReason, OrderStatus
from trading.rules.records import OrderRecord
from trading.services.amend_order import AmendOrder, amend_order
from trading.services.end_orders import cancel_open_orders, cancel_order
from trading.services.place_order import PlaceOrder, place_order
from webapp.api.order_schemas import (
    Amendment,
    Cancelled,
    NoFilters,
    Order,
    OrderFilters,
    OrderRequest,
)
from webapp.authentication import me, signed_in
from webapp.core import the_core
from webapp.documentation import make_blueprint
from webapp.schemas import envelope, page, success
from webapp.writing import Answer, made, was_done, write

log = structlog.get_logger(__name__)

blueprint = make_blueprint("Orders", "주문")

_ACCEPTED = "주문이 접수되었습니다."
_AMENDED = "주문이 정정되었습니다."
_CANCELLED = "주문이 취소되었습니다."


@blueprint.route("/trading/orders")
class Orders(MethodView):
    @signed_in
    @blueprint.arguments(OrderRequest)
    @blueprint.response(201, envelope(Order))
    def post(self, body: dict[str, Any]) -> Response:
        """Place an order. It is accepted at once and filled by a worker, when the market is there."""
        core, now, user_id = the_core(), the_core().clock(), me().user_id
        hours = core.market_hours()
        command = PlaceOrder(order_id=new_id(), user_id=user_id, request_id=g.request_id, **body)
        location = f"/api/v1/trading/orders/{command.order_id}"

        def landed(session: Session) -> Answer | None:
            try:
                return Answer(
                    _ACCEPTED,
                    order_of(session, user_id=user_id, order_id=command.order_id),
                    location,
                )
            except OrderNotFound:
                return None

        answer = write(
            lambda session: Answer(
                _ACCEPTED,
                place_order(
                    session,
                    command,
                    quotes=core.quotes,
                    hours=hours,
                    settings=core.settings,
                    now=now,
                ),
                location,
            ),
            schema=envelope(Order),
            status=201,
            landed=landed,
        )
        if made(answer):
            bind_contextvars(order_id=str(command.order_id))
            log.info("order_accepted", stock_code=command.stock_code)
            counting.record(counting.ORDERS_ACCEPTED, command.side, command.order_type)
        return answer

    @signed_in
    @blueprint.arguments(OrderFilters, location="query")
    @blueprint.response(200, page(Order))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Own orders with their executions, newest first."""
        user_id = me().user_id
        return success(
            the_core().database.snapshot(
                lambda session: orders_of(session, user_id=user_id, **filters)
            )
        )

    @signed_in
    @blueprint.arguments(NoFilters, location="query", unknown=RAISE)
    @blueprint.response(200, envelope(Cancelled))
    def delete(self, _none: dict[str, Any]) -> Response:
        """Cancel every open order of one's own; what was filled of them stays filled."""
        now, user_id = the_core().clock(), me().user_id
        cancelled_ids: list[UUID] = []

        def told(order_ids: list[UUID]) -> Answer:
            cancelled_ids[:] = order_ids
            message = (
                f"미체결 주문 {len(order_ids)}건을 취소했습니다."
                if order_ids
                else "취소할 미체결 주문이 없습니다."
            )
            return Answer(message, {"cancelled": len(order_ids), "order_ids": order_ids})

        def landed(session: Session) -> Answer | None:
            cancelled = orders_cancelled_at(session, user_id=user_id, at=now)
            return told(cancelled) if cancelled else None

        answer = write(
            lambda session: told(cancel_open_orders(session, user_id=user_id, now=now)),
            schema=envelope(Cancelled),
            landed=landed,
        )
        if cancelled_ids:
            tell(log.info, "orders_cancelled", {"order_ids": cancelled_ids})
            _count_cancelled(len(cancelled_ids))
        return answer


@blueprint.route("/trading/orders/<uuid:order_id>")
class OneOrder(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Order))
    def get(self, order_id: UUID) -> dict[str, object]:
        """One own order with its executions."""
        user_id = me().user_id
        return success(
            the_core().database.snapshot(
                lambda session: order_of(session, user_id=user_id, order_id=order_id)
            )
        )

    @signed_in
    @blueprint.arguments(Amendment)
    @blueprint.response(200, envelope(Order))
    def patch(self, body: dict[str, Any], order_id: UUID) -> Response:
        """Amend the price or the quantity of an open limit order. A new price or more shares put it behind the others at its price."""
        core, now = the_core(), the_core().clock()
        hours = core.market_hours()
        command = AmendOrder(order_id=order_id, user_id=me().user_id, **body)

        def is_so(order: OrderRecord) -> bool:
            return order.price == (command.limit_price or order.price) and order.quantity == (
                command.quantity or order.quantity
            )

        return _change(
            order_id,
            lambda session: amend_order(
                session, command, quotes=core.quotes, hours=hours, settings=core.settings, now=now
            ),
            message=_AMENDED,
            is_so=is_so,
        )

    @signed_in
    @blueprint.response(200, envelope(Order))
    def delete(self, order_id: UUID) -> Response:
        """Cancel an open order. One that was filled first is 409, with what was filled of it."""
        now, user_id = the_core().clock(), me().user_id

        def is_so(order: OrderRecord) -> bool:
            return (order.status, order.reason, order.finished_at) == (
                OrderStatus.CANCELLED,
                EndReason.CANCELLED_BY_USER,
                now,
            )

        answer = _change(
            order_id,
            lambda session: cancel_order(session, user_id=user_id, order_id=order_id, now=now),
            message=_CANCELLED,
            is_so=is_so,
        )
        if was_done(answer):
            _count_cancelled(1)
        return answer


def _count_cancelled(count: int) -> None:
    labels = OrderStatus.CANCELLED, EndReason.CANCELLED_BY_USER
    counting.record(counting.ORDERS_ENDED, *labels, value=count)


def _change(
    order_id: UUID,
    work: Callable[[Session], None],
    *,
    message: str,
    is_so: Callable[[OrderRecord], bool],
) -> Response:
    """Change one own order and answer with it as it is then. ``is_so`` tells from the order whether a change with an unknown outcome was made."""
    user_id = me().user_id

    def changed(session: Session) -> Answer:
        work(session)
        return Answer(message, order_of(session, user_id=user_id, order_id=order_id))

    def landed(session: Session) -> Answer | None:
        order = order_of(session, user_id=user_id, order_id=order_id)
        return Answer(message, order) if is_so(order) else None

    return write(changed, schema=envelope(Order), landed=landed)
