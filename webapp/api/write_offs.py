"""Write off the holdings of delisted stocks, for administrators."""

from functools import partial
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.ledger.write_off import WriteOffReport, write_off_holdings
from trading.marketdata.stock_codes import product_code
from trading.operations.admin_action_model import DONE, UNCHANGED, ActionKind, Outcome
from trading.stocks.errors import StockNotFound
from webapp.http.admin_log import recorded, requested
from webapp.http.authentication import admin_required
from webapp.http.commands import run_command
from webapp.http.fields import Text
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope

blueprint = make_blueprint("Write-offs", "상장 폐지 종목 상각 (관리자)")

REASON_LENGTH_MAX = 200


class WriteOffRequestSchema(Schema):
    """Reason of the write-off, stored with it and in the log. The body is optional."""

    reason = Text(
        high=REASON_LENGTH_MAX,
        load_default=None,
        allow_none=True,
        metadata={"example": "정리매매 종료"},
    )


class WriteOffSchema(Schema):
    """What was written off, in shares and won. Reserved holdings are left for another request."""

    stock_code = fields.String(required=True, metadata={"example": "A005930"})
    stock_name = fields.String(required=True, metadata={"example": "삼성전자"})
    holdings = fields.Integer(required=True, metadata={"example": 12})
    quantity = fields.Integer(required=True, metadata={"example": 340})
    loss = fields.Integer(
        required=True,
        metadata={"example": 1_200_180, "description": "매수 수수료를 포함한 손실 금액"},
    )
    reserved_holdings = fields.Integer(
        required=True,
        metadata={"example": 0, "description": "매도 주문이 끝나지 않아 남겨 둔 보유 건수"},
    )


@blueprint.route("/admin/stocks/<stock_code>/write-off")
class WriteOffHoldings(MethodView):
    @admin_required
    @blueprint.arguments(WriteOffRequestSchema)
    @blueprint.response(200, envelope(WriteOffSchema))
    def post(self, body: dict[str, Any], stock_code: str) -> Response:
        """Write off the holdings of a delisted stock.

        상장 폐지 종목 상각. 상장 폐지된 종목의 모든 보유 수량을 대금 없이 제거하고 매입 금액을
        실현 손실로 기록합니다. 매도 주문이 끝나지 않은 보유 건은 남겨 둡니다.
        """
        code, reason = product_code(stock_code), body["reason"]
        if code is None:
            raise StockNotFound(stock_code=stock_code[:20])
        return run_command(
            recorded(
                requested(ActionKind.WRITE_OFF_HOLDINGS),
                partial(write_off_holdings, stock_code=code, reason=reason),
                outcome_of=outcome_of,
                reason=reason,
            ),
            schema=envelope(WriteOffSchema),
            message=lambda report: f"보유 {report.holdings:,}건을 상각했습니다.",
        )


def outcome_of(report: WriteOffReport) -> Outcome:
    """Return the outcome for the administrators' log."""
    return Outcome(
        DONE if report.holdings else UNCHANGED,
        target=report.stock_code,
        details={
            "holdings": report.holdings,
            "quantity": report.quantity,
            "loss": report.loss,
            "reserved_holdings": report.reserved_holdings,
        },
    )
