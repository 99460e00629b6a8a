"""The ledger, newest entries first."""

from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.ledger.model import TransactionType
from trading.ledger.records import TransactionRecord
from trading.pagination import Page
from trading.portfolio.transactions import get_transaction, list_transactions
from webapp.api.labels import TRANSACTION_TYPES
from webapp.context import get_core
from webapp.http import csv_files
from webapp.http.authentication import current_user, login_required
from webapp.http.csv_files import Column
from webapp.http.fields import KoreanDay, SequenceCursor, StockCode
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import PageQuerySchema, envelope, page, success

blueprint = make_blueprint("Transactions", "거래 내역")

_COLUMNS = (
    Column("sequence", "번호"),
    Column("transaction_date", "거래 일시", is_time=True),
    Column("transaction_type", "거래 유형", TRANSACTION_TYPES),
    Column("stock_id", "종목 코드"),
    Column("stock_name", "종목명"),
    Column("quantity", "수량"),
    Column("price", "단가"),
    Column("amount", "거래 금액"),
    Column("commission", "수수료"),
    Column("tax", "세금"),
    Column("realized_profit", "실현 손익"),
    Column("cash_balance_before", "거래 전 예수금"),
    Column("cash_balance_after", "거래 후 예수금"),
    Column("order_id", "주문 번호"),
    Column("description", "적요"),
    Column("id", "거래 번호"),
)
_CSV = """sequence,transaction_date (KST),transaction_type,stock_id,stock_name,quantity,price,…
2,2026-11-20 10:00:00,BUY,A005930,삼성전자,10,70000,…
"""


class TransactionSchema(Schema):
    id = fields.UUID(required=True, metadata={"example": "01a20503-4c02-7c33-9a6e-0d9b6b2f7e55"})
    user_id = fields.UUID(required=True)
    sequence = fields.Integer(
        required=True,
        metadata={"description": "계좌별로 빠짐없이 이어지는 거래 번호", "example": 2},
    )
    transaction_type = fields.String(required=True, metadata={"example": "BUY"})
    stock_id = fields.String(
        allow_none=True,
        metadata={"description": "종목 코드 (예: A005930)", "example": "A005930"},
    )
    stock_name = fields.String(allow_none=True, metadata={"example": "삼성전자"})
    order_id = fields.UUID(allow_none=True)
    quantity = fields.Integer(allow_none=True, metadata={"example": 10})
    price = fields.Integer(allow_none=True, metadata={"example": 70_000})
    amount = fields.Integer(required=True, metadata={"example": 700_000})
    commission = fields.Integer(required=True, metadata={"example": 105})
    tax = fields.Integer(required=True, metadata={"example": 0})
    realized_profit = fields.Integer(
        allow_none=True, metadata={"example": None, "description": "매도 실현 손익"}
    )
    cash_balance_before = fields.Integer(required=True, metadata={"example": 10_000_000})
    cash_balance_after = fields.Integer(required=True, metadata={"example": 9_299_895})
    description = fields.String(allow_none=True)
    transaction_date = fields.AwareDateTime(required=True)


class TransactionListQuerySchema(PageQuerySchema):
    """Loads as the keyword arguments of `list_transactions`."""

    cursor = SequenceCursor(attribute="before_sequence", load_default=None)
    transaction_type = fields.Enum(TransactionType, by_value=True, load_default=None)
    stock_code = StockCode(load_default=None, metadata={"example": "A005930"})
    order_id = fields.UUID(load_default=None)
    from_ = KoreanDay(data_key="from", attribute="since", load_default=None)
    to = KoreanDay(end=True, attribute="until", load_default=None)


@blueprint.route("/trading/transactions")
class TransactionList(MethodView):
    @login_required
    @blueprint.arguments(TransactionListQuerySchema, location="query")
    @blueprint.response(200, page(TransactionSchema))
    @blueprint.doc(**csv_files.documentation(_CSV))
    def get(self, filters: dict[str, Any]) -> dict[str, object] | Response:
        """List ledger entries.

        거래 내역 조회. 거래 내역을 최근 순으로 조회합니다. `Accept: text/csv`로 요청하면 조건에
        맞는 전체 내역을 CSV 파일로 받습니다. 파일의 언어는 `Accept-Language`를 따릅니다.
        """
        if csv_files.is_wanted():
            return _as_csv(**filters)
        user_id = current_user().user_id
        return success(get_core().read(list_transactions, user_id=user_id, **filters))


def _as_csv(*, before_sequence: int | None, **filters: Any) -> Response:
    core, user_id = get_core(), current_user().user_id
    filters["limit"] = csv_files.BATCH_ROWS

    def read(before: int | None) -> Page[TransactionRecord]:
        return core.read(list_transactions, user_id=user_id, before_sequence=before, **filters)

    batches = csv_files.read_pages(read, cursor=before_sequence, parse=int)
    return csv_files.respond("transactions", _COLUMNS, batches)


@blueprint.route("/trading/transactions/<uuid:transaction_id>")
class TransactionDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(TransactionSchema))
    def get(self, transaction_id: UUID) -> dict[str, object]:
        """Get one ledger entry.

        거래 내역 상세 조회. 거래 내역 한 건을 조회합니다.
        """
        user_id = current_user().user_id
        return success(
            get_core().read(get_transaction, user_id=user_id, transaction_id=transaction_id)
        )
