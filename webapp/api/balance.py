"""Cash: how much there is, and virtual deposits and withdrawals."""

from collections.abc import Callable
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.database.ids import new_id
from trading.queries.transactions import movements_of, transaction_of
from trading.rules.errors import TransactionNotFound
from trading.rules.records import TransactionRecord
from trading.services.cash import deposit, withdraw
from webapp.api.transactions import Transaction, TransactionFilters
from webapp.authentication import me, signed_in
from webapp.core import the_core
from webapp.documentation import make_blueprint
from webapp.fields import Whole
from webapp.schemas import envelope, success
from webapp.valuation import my_summary
from webapp.writing import Answer, write

blueprint = make_blueprint("Balance", "예수금")


class Balance(Schema):
    """Won. What depends on prices is null while a held stock has none; unpriced_holdings says how many."""

    cash_balance = fields.Integer(required=True, metadata={"example": 9_299_895})
    available_cash = fields.Integer(required=True, metadata={"example": 9_299_895})
    reserved_cash = fields.Integer(required=True, metadata={"example": 0})
    debt = fields.Integer(
        required=True,
        metadata={
            "description": "owed after spent money was refunded; no withdrawal before it is paid",
            "example": 0,
        },
    )
    invested_amount = fields.Integer(
        required=True, metadata={"description": "cost of the shares held", "example": 700_000}
    )
    holdings_value = fields.Integer(required=True, metadata={"example": 705_000})
    total_assets = fields.Integer(allow_none=True, metadata={"example": 10_004_895})
    unpriced_holdings = fields.Integer(required=True, metadata={"example": 0})
    stale_holdings = fields.Integer(required=True, metadata={"example": 0})


class Amount(Schema):
    amount = Whole(required=True, metadata={"example": 1_000_000})


class Movement(Transaction):
    """A Transaction as a link of the account's chain."""

    change = fields.Integer(
        required=True,
        metadata={
            "example": -700_105,
            "description": "what it added to the cash balance, with its sign",
        },
    )
    is_linked = fields.Boolean(
        required=True,
        metadata={
            "example": True,
            "description": "it begins with the balance that the Transaction before it left, and ends with what its amount and costs make of that",
        },
    )


class Movements(Schema):
    items = fields.List(fields.Nested(Movement), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})
    is_unbroken = fields.Boolean(
        required=True,
        metadata={
            "example": True,
            "description": "whether each of these is linked to the one before it",
        },
    )


@blueprint.route("/balance")
class MyBalance(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Balance))
    def get(self) -> dict[str, object]:
        """Cash, what is reserved of it, and total assets at live prices."""
        return success(my_summary())


@blueprint.route("/balance/history")
class History(MethodView):
    @signed_in
    @blueprint.arguments(TransactionFilters, location="query")
    @blueprint.response(200, envelope(Movements))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Every movement of cash, newest first, each with the balance before and after, and whether the chain holds."""
        user_id = me().user_id
        movements = the_core().database.read(
            lambda session: movements_of(session, user_id=user_id, **filters)
        )
        return success(
            {
                "items": movements.items,
                "next_cursor": movements.next_cursor,
                "is_unbroken": all(movement.is_linked for movement in movements.items),
            }
        )


@blueprint.route("/balance/deposit")
class Depositing(MethodView):
    @signed_in
    @blueprint.arguments(Amount)
    @blueprint.response(201, envelope(Transaction))
    def post(self, body: dict[str, Any]) -> Response:
        """Add virtual cash."""
        return _move(deposit, body["amount"], "입금되었습니다.")


@blueprint.route("/balance/withdraw")
class Withdrawing(MethodView):
    @signed_in
    @blueprint.arguments(Amount)
    @blueprint.response(201, envelope(Transaction))
    def post(self, body: dict[str, Any]) -> Response:
        """Take virtual cash out of what is available."""
        return _move(withdraw, body["amount"], "출금되었습니다.")


def _move(use_case: Callable[..., TransactionRecord], amount: int, message: str) -> Response:
    core, now, user_id, transaction_id = the_core(), the_core().clock(), me().user_id, new_id()
    location = f"/api/v1/trading/transactions/{transaction_id}"

    def landed(session: Any) -> Answer | None:
        try:
            return Answer(
                message,
                transaction_of(session, user_id=user_id, transaction_id=transaction_id),
                location,
            )
        except TransactionNotFound:
            return None

    return write(
        lambda session: Answer(
            message,
            use_case(
                session,
                transaction_id=transaction_id,
                user_id=user_id,
                amount=amount,
                settings=core.settings,
                now=now,
            ),
            location,
        ),
        schema=envelope(Transaction),
        status=201,
        landed=landed,
    )
