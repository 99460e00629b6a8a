"""Cash: how much there is, and virtual deposits and withdrawals."""

from collections.abc import Callable
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields

from trading.db.ids import new_id
from trading.ledger.deposits import deposit, withdraw
from trading.ledger.errors import TransactionNotFound
from trading.ledger.records import TransactionRecord
from trading.portfolio.transactions import movements_of, transaction_of
from webapp.api.transactions import TransactionListQuerySchema, TransactionSchema
from webapp.api.valuation import my_summary
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.commands import CommandResult, run_closure
from webapp.http.fields import Whole
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import envelope, success

blueprint = make_blueprint("Balance", "예수금")


class BalanceSchema(Schema):
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


class AmountSchema(Schema):
    amount = Whole(required=True, metadata={"example": 1_000_000})


class MovementSchema(TransactionSchema):
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


class MovementsSchema(Schema):
    items = fields.List(fields.Nested(MovementSchema), required=True)
    next_cursor = fields.String(allow_none=True, metadata={"example": "41"})
    is_unbroken = fields.Boolean(
        required=True,
        metadata={
            "example": True,
            "description": "whether each of these is linked to the one before it",
        },
    )


@blueprint.route("/balance")
class BalanceDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(BalanceSchema))
    def get(self) -> dict[str, object]:
        """Cash, what is reserved of it, and total assets at live prices."""
        return success(my_summary())


@blueprint.route("/balance/history")
class BalanceHistoryList(MethodView):
    @login_required
    @blueprint.arguments(TransactionListQuerySchema, location="query")
    @blueprint.response(200, envelope(MovementsSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Every movement of cash, newest first, each with the balance before and after, and whether the chain holds."""
        user_id = current_user().user_id
        movements = get_core().read(movements_of, user_id=user_id, **filters)
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
        """Add virtual cash."""
        return _move(deposit, body["amount"], "입금되었습니다.")


@blueprint.route("/balance/withdraw")
class WithdrawCash(MethodView):
    @login_required
    @blueprint.arguments(AmountSchema)
    @blueprint.response(201, envelope(TransactionSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Take virtual cash out of what is available."""
        return _move(withdraw, body["amount"], "출금되었습니다.")


def _move(use_case: Callable[..., TransactionRecord], amount: int, message: str) -> Response:
    core, now, user_id, transaction_id = (
        get_core(),
        get_core().clock(),
        current_user().user_id,
        new_id(),
    )
    location = f"/api/v1/trading/transactions/{transaction_id}"

    def find_committed(session: Any) -> CommandResult | None:
        try:
            return CommandResult(
                message,
                transaction_of(session, user_id=user_id, transaction_id=transaction_id),
                location,
            )
        except TransactionNotFound:
            return None

    return run_closure(
        lambda session: CommandResult(
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
        schema=envelope(TransactionSchema),
        status=201,
        find_committed=find_committed,
    )
