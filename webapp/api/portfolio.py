"""Holdings at live prices."""

from flask.views import MethodView
from marshmallow import Schema, fields

from trading.queries.pages import Page
from trading.queries.portfolio import only
from trading.rules.errors import HoldingNotFound
from trading.rules.stock_codes import product_code
from webapp.authentication import signed_in
from webapp.documentation import SIGNED_IN, make_blueprint
from webapp.schemas import envelope, page, success
from webapp.valuation import my_holdings, my_summary

blueprint = make_blueprint("Portfolio", "보유 종목")


class Holding(Schema):
    """Won, shares and basis points. What depends on the price is null while there is none."""

    stock_code = fields.String(required=True)
    name = fields.String(required=True)
    market = fields.String(required=True)
    sector = fields.String(allow_none=True)
    quantity = fields.Integer(required=True)
    reserved_quantity = fields.Integer(required=True)
    sellable_quantity = fields.Integer(required=True)
    average_price = fields.Integer(required=True)
    cost = fields.Integer(required=True)
    buy_commission = fields.Integer(required=True)
    price = fields.Integer(allow_none=True)
    price_age_ms = fields.Integer(allow_none=True)
    freshness = fields.String(allow_none=True)
    value = fields.Integer(allow_none=True)
    unrealized_profit = fields.Integer(allow_none=True)
    unrealized_profit_rate_bp = fields.Integer(allow_none=True)
    todays_change = fields.Integer(allow_none=True)
    weight_bp = fields.Integer(allow_none=True)
    realized_profit = fields.Integer(required=True)


class Summary(Schema):
    cash_balance = fields.Integer(required=True)
    available_cash = fields.Integer(required=True)
    reserved_cash = fields.Integer(required=True)
    invested_amount = fields.Integer(required=True)
    buy_commission = fields.Integer(required=True)
    holdings_value = fields.Integer(required=True)
    total_assets = fields.Integer(allow_none=True)
    unrealized_profit = fields.Integer(allow_none=True)
    realized_profit = fields.Integer(required=True)
    todays_change = fields.Integer(allow_none=True)
    unpriced_holdings = fields.Integer(required=True)
    stale_holdings = fields.Integer(required=True)


@blueprint.route("/portfolio")
class Portfolio(MethodView):
    @signed_in
    @blueprint.response(200, page(Holding))
    @blueprint.doc(**SIGNED_IN)
    def get(self) -> dict[str, object]:
        """All holdings, by stock code."""
        return success(Page(my_holdings(), None))


@blueprint.route("/portfolio/summary")
class PortfolioSummary(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Summary))
    @blueprint.doc(**SIGNED_IN)
    def get(self) -> dict[str, object]:
        """Totals of cash and holdings, and today's change."""
        return success(my_summary())


@blueprint.route("/portfolio/<stock_code>")
class OneHolding(MethodView):
    @signed_in
    @blueprint.response(200, envelope(Holding))
    @blueprint.doc(**SIGNED_IN)
    def get(self, stock_code: str) -> dict[str, object]:
        """One holding."""
        code = product_code(stock_code)
        if code is None:
            raise HoldingNotFound
        return success(only(my_holdings(code)))
