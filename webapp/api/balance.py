"""Cash balance, and virtual deposits and withdrawals."""

from collections.abc import Callable
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.db.ids import new_id
from trading.ledger.deposits import MoveCash, deposit, withdraw
from trading.ledger.records import TransactionRecord
from trading.portfolio.transactions import list_movements
from trading.unit_of_work import UnitOfWork
from webapp.api.transactions import TransactionListQuerySchema, TransactionSchema
from webapp.api.valuation import freshness_field, my_summary
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.commands import run_command
from webapp.http.fields import Whole
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Balance", "예수금")


class BalanceSchema(Schema):
    """Balance in won. Totals that depend on prices are null while `unpriced_holdings` is not 0."""

    cash_balance = fields.Integer(required=True, metadata={"example": 9_299_895})
    available_cash = fields.Integer(required=True, metadata={"example": 9_299_895})
    reserved_cash = fields.Integer(required=True, metadata={"example": 0})
    debt = fields.Integer(
        required=True,
        metadata={
            "description": "미수금. 결제 취소 전에 사용한 금액이며, 갚기 전에는 출금할 수 없음",
            "example": 0,
        },
    )
    invested_amount = fields.Integer(
        required=True, metadata={"description": "보유 종목의 매입 금액", "example": 700_000}
    )
    holdings_value = fields.Integer(required=True, metadata={"example": 705_000})
    total_assets = fields.Integer(allow_none=True, metadata={"example": 10_004_895})
    freshness = freshness_field()
    price_day = fields.Date(
        required=True,
        allow_none=True,
        metadata={
            "example": "2026-11-20",
            "description": "보유 종목 가격의 거래일 중 가장 이른 날",
        },
    )
    unpriced_holdings = fields.Integer(required=True, metadata={"example": 0})
    stale_holdings = fields.Integer(required=True, metadata={"example": 0})


class AmountSchema(Schema):
    amount = Whole(required=True, high="deposit_max", metadata={"example": 1_000_000})


class MovementSchema(TransactionSchema):
    """A ledger entry with its place in the account's chain of balances."""

    change = fields.Integer(
        required=True,
        metadata={
            "example": -700_105,
            "description": "예수금 증감 (부호 포함)",
        },
    )
    is_linked = fields.Boolean(
        required=True,
        metadata={
            "example": True,
            "description": (
                "직전 거래의 잔액에서 시작하고 금액과 비용을 반영한 잔액으로 끝나는지 여부"
            ),
        },
    )


class MovementsSchema(Schema):
    items = fields.List(fields.Nested(MovementSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})
    is_unbroken = fields.Boolean(
        required=True,
        metadata={
            "example": True,
            "description": "이 페이지의 모든 거래가 직전 거래와 이어지는지 여부",
        },
    )


@blueprint.route("/balance")
class BalanceDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(BalanceSchema))
    def get(self) -> dict[str, object]:
        """Get cash and total assets.

        예수금 조회. 예수금과 주문에 묶인 금액, 최근 체결가나 종가로 평가한 총자산을 조회합니다.
        """
        return success(my_summary())


@blueprint.route("/balance/history")
class BalanceHistoryList(MethodView):
    @login_required
    @blueprint.arguments(TransactionListQuerySchema, location="query")
    @blueprint.response(200, envelope(MovementsSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """List cash movements with balances.

        예수금 변동 내역 조회. 예수금 변동 내역을 전후 잔액과 함께 최근 순으로 조회하고, 잔액이
        이어지는지 확인합니다.
        """
        user_id = current_user().user_id
        movements = get_core().read(list_movements, user_id=user_id, **filters)
        return success(
            {
                "items": movements.items,
                "next_cursor": movements.next_cursor,
                "is_unbroken": all(movement.is_linked for movement in movements.items),
            }
        )


@blueprint.route("/balance/deposit")
class DepositCash(MethodView):
    @login_required
    @blueprint.arguments(AmountSchema)
    @blueprint.response(201, envelope(TransactionSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Deposit virtual cash.

        모의 입금. 모의 현금을 입금합니다.
        """
        return _move(deposit, body, "입금되었습니다.")


@blueprint.route("/balance/withdraw")
class WithdrawCash(MethodView):
    @login_required
    @blueprint.arguments(AmountSchema)
    @blueprint.response(201, envelope(TransactionSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Withdraw virtual cash.

        모의 출금. 사용 가능한 예수금에서 모의 현금을 출금합니다.
        """
        return _move(withdraw, body, "출금되었습니다.")


def _move(
    use_case: Callable[[UnitOfWork, MoveCash], TransactionRecord],
    body: dict[str, Any],
    message: str,
) -> Response:
    command = MoveCash(transaction_id=new_id(), user_id=current_user().user_id, **body)
    return run_command(
        lambda uow: use_case(uow, command),
        schema=envelope(TransactionSchema),
        status=201,
        message=message,
        location=f"/api/v1/trading/transactions/{command.transaction_id}",
    )
