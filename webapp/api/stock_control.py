"""Change the trading of single stocks, for administrators."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields

from trading.marketdata.stock_codes import product_code
from trading.operations.admin_action_model import UNCHANGED, ActionKind, Outcome
from trading.orders.change_stock import (
    ChangedStock,
    delist_stock,
    halt_stock,
    resume_stock,
    set_leverage,
    set_liquidation,
)
from trading.stocks.errors import StockNotFound
from trading.stocks.listing import parse_leverage
from trading.stocks.model import StockChange, StockStatus
from trading.unit_of_work import UnitOfWork
from webapp.http.admin_log import recorded, requested
from webapp.http.authentication import admin_required
from webapp.http.commands import run_command
from webapp.http.fields import Text
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope

blueprint = make_blueprint("Stock control", "종목 거래 관리 (관리자)")

_MESSAGES = {
    StockChange.HALTED: (
        "종목의 거래를 정지했습니다. 신규 주문과 정정은 막고 취소와 수량 축소는 허용합니다."
    ),
    StockChange.RESUMED: "종목의 거래를 재개했습니다.",
    StockChange.DELISTED: "종목을 상장 폐지하고 미체결 주문을 취소했습니다.",
    StockChange.LIQUIDATION_STARTED: "정리매매를 시작했습니다. 가격 제한폭이 없습니다.",
    StockChange.LIQUIDATION_ENDED: "정리매매를 종료했습니다.",
    StockChange.LEVERAGE_CHANGED: "추적 배수를 변경했습니다.",
}
_UNCHANGED = "이미 적용되어 있어 변경하지 않았습니다."


class StockChangeReasonSchema(Schema):
    """Reason of the change, for the administrators' log. The body is optional."""

    reason = Text(high=200, load_default=None, allow_none=True, metadata={"example": "거래소 공시"})


class LiquidationSchema(StockChangeReasonSchema):
    """`in_liquidation` false ends liquidation trading. The body is optional."""

    in_liquidation = fields.Boolean(load_default=True, metadata={"example": True})


class LeverageField(fields.String):
    """A multiple of an index as decimal text, loaded in percent."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return parse_leverage(str(text))
        except ValueError:
            raise ValidationError(
                "추적 배수는 2, -1, 1.5처럼 -3 이상 3 이하의 숫자로 입력해 주세요."
            ) from None


class LeverageSchema(StockChangeReasonSchema):
    leverage = LeverageField(
        required=True,
        metadata={"description": "기초지수의 추적 배수. 인버스는 음수", "example": "2"},
    )


class ControlledStockSchema(Schema):
    """A stock after the change. `informed` counts the users who got an account event.

    `change` is null if the stock was in the requested state already.
    """

    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    name = fields.String(required=True, metadata={"example": "삼성전자"})
    status = fields.String(
        required=True, metadata={"enum": list(StockStatus), "example": StockStatus.HALTED}
    )
    halted_at = fields.AwareDateTime(required=True, allow_none=True)
    resumed_at = fields.AwareDateTime(required=True, allow_none=True)
    in_liquidation = fields.Boolean(required=True, metadata={"example": False})
    leverage = fields.String(required=True, metadata={"example": "1"})
    change = fields.String(
        required=True,
        allow_none=True,
        metadata={"enum": [*StockChange, None], "example": StockChange.HALTED},
    )
    informed = fields.Integer(required=True, metadata={"example": 12})


@blueprint.route("/admin/stocks/<stock_code>/halt")
class HaltStock(MethodView):
    @admin_required
    @blueprint.arguments(StockChangeReasonSchema)
    @blueprint.response(200, envelope(ControlledStockSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Halt a stock.

        종목 거래 정지. 종목의 신규 주문과 정정, 체결을 막습니다. 미체결 주문은 유지되고, 취소하거나
        수량을 줄일 수 있습니다.
        """
        return _run(ActionKind.HALT_STOCK, halt_stock, stock_code, **body)


@blueprint.route("/admin/stocks/<stock_code>/resume")
class ResumeStock(MethodView):
    @admin_required
    @blueprint.arguments(StockChangeReasonSchema)
    @blueprint.response(200, envelope(ControlledStockSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Resume a stock.

        종목 거래 재개. 정지한 종목의 거래를 재개합니다. 재개 후 첫 체결가는 단일가입니다. 잘못
        처리한 상장 폐지도 되돌립니다.
        """
        return _run(ActionKind.RESUME_STOCK, resume_stock, stock_code, **body)


@blueprint.route("/admin/stocks/<stock_code>/delist")
class DelistStock(MethodView):
    @admin_required
    @blueprint.arguments(StockChangeReasonSchema)
    @blueprint.response(200, envelope(ControlledStockSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Delist a stock.

        종목 상장 폐지. 종목의 신규 주문을 막고 미체결 주문을 취소합니다.
        """
        return _run(ActionKind.DELIST_STOCK, delist_stock, stock_code, **body)


@blueprint.route("/admin/stocks/<stock_code>/liquidate")
class LiquidateStock(MethodView):
    @admin_required
    @blueprint.arguments(LiquidationSchema)
    @blueprint.response(200, envelope(ControlledStockSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Start or end liquidation trading.

        정리매매 시작과 종료. 정리매매 종목은 가격 제한폭 없이 거래됩니다.
        """
        in_liquidation = body.pop("in_liquidation")
        return _run(
            ActionKind.LIQUIDATE_STOCK,
            partial(set_liquidation, in_liquidation=in_liquidation),
            stock_code,
            in_liquidation=in_liquidation,
            **body,
        )


@blueprint.route("/admin/stocks/<stock_code>/leverage")
class SetStockLeverage(MethodView):
    @admin_required
    @blueprint.arguments(LeverageSchema)
    @blueprint.response(200, envelope(ControlledStockSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Set the leverage of a fund.

        추적 배수 변경. 레버리지·인버스 상품의 추적 배수를 변경합니다. 가격 제한폭도 함께
        변경됩니다.
        """
        percent = body.pop("leverage")
        return _run(
            ActionKind.SET_LEVERAGE,
            partial(set_leverage, leverage_percent=percent),
            stock_code,
            leverage_percent=percent,
            **body,
        )


def _run(
    kind: ActionKind,
    use_case: Callable[..., ChangedStock],
    stock_code: str,
    **details: object,
) -> Response:
    code = product_code(stock_code)
    if code is None:
        raise StockNotFound(stock_code=stock_code[:20])
    work: Callable[[UnitOfWork], ChangedStock] = partial(use_case, stock_code=code)
    return run_command(
        recorded(requested(kind), work, outcome_of=outcome_of, **details),
        schema=envelope(ControlledStockSchema),
        message=lambda changed: _UNCHANGED if changed.change is None else _MESSAGES[changed.change],
        data=_members,
    )


def outcome_of(changed: ChangedStock) -> Outcome:
    """Return the outcome for the administrators' log."""
    code = changed.stock.stock_code
    if changed.change is None:
        return Outcome(UNCHANGED, target=code)
    return Outcome(changed.change, target=code, details={"informed": changed.informed})


def _members(changed: ChangedStock) -> dict[str, object]:
    stock = changed.stock
    return {
        **{name: getattr(stock, name) for name in stock.__slots__},
        "leverage": stock.leverage,
        "change": changed.change,
        "informed": changed.informed,
    }
