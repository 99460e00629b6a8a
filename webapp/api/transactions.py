"""The ledger: Transactions, newest first."""

from typing import Any
from uuid import UUID

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.queries.transactions import transaction_of, transactions_of
from trading.rules.ledger import TransactionType
from webapp.authentication import me, signed_in
from webapp.core import the_core
from webapp.documentation import SIGNED_IN, make_blueprint
from webapp.fields import KoreanDay, SequenceCursor, StockCode
from webapp.schemas import PageArguments, envelope, page, success

blueprint = make_blueprint("Transactions", "거래 내역")


class Transaction(Schema):
    id = fields.UUID(required=True)
    user_id = fields.UUID(required=True)
    sequence = fields.Integer(
        required=True, metadata={"description": "numbers an account's Transactions without a gap"}
    )
    transaction_type = fields.String(required=True)
    stock_id = fields.String(allow_none=True, metadata={"description": "product code, e.g. A005930"})
    stock_name = fields.String(allow_none=True)
    order_id = fields.UUID(allow_none=True)
    quantity = fields.Integer(allow_none=True)
    price = fields.Integer(allow_none=True)
    amount = fields.Integer(required=True)
    commission = fields.Integer(required=True)
    tax = fields.Integer(required=True)
    realized_profit = fields.Integer(allow_none=True)
    cash_balance_before = fields.Integer(required=True)
    cash_balance_after = fields.Integer(required=True)
    description = fields.String(allow_none=True)
    transaction_date = fields.AwareDateTime(required=True)


class TransactionFilters(PageArguments):
    """Loads as the keywords of ``trading.queries.transactions.transactions_of``."""

    cursor = SequenceCursor(attribute="before_sequence", load_default=None)
    transaction_type = fields.Enum(TransactionType, by_value=True, load_default=None)
    stock_code = StockCode(load_default=None)
    order_id = fields.UUID(load_default=None)
    from_ = KoreanDay(data_key="from", attribute="since", load_default=None)
    to = KoreanDay(end=True, attribute="until", load_default=None)


def own_transactions(filters: dict[str, Any]) -> dict[str, object]:
    """A page of the signed-in user's ledger."""
    user_id = me().user_id
    return success(the_core().database.read(lambda session: transactions_of(session, user_id=user_id, **filters)))


@blueprint.route("/trading/transactions")
class Transactions(MethodView):
    @signed_in
    @blueprint.arguments(TransactionFilters, location="query")
    @blueprint.response(200, page(Transaction))
    @blueprint.doc(**SIGNED_IN)
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Own Transactions, newest first."""
        return own_transactions(filters)


@blueprint.route("/trading/transactions/<uuid:transaction_id>")
class OneTransaction(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Transaction))
    @blueprint.doc(**SIGNED_IN)
    def get(self, transaction_id: UUID) -> dict[str, object]:
        """One own Transaction."""
        user_id = me().user_id
        return success(
            the_core().database.read(
                lambda session: transaction_of(session, user_id=user_id, transaction_id=transaction_id)
            )
        )
