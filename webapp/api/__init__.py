"""HTTP endpoints, one module per resource."""

from flask import Flask

from webapp.api import (
    account_events,
    accounts,
    admin_actions,
    analytics,
    audit,
    balance,
    market,
    operations,
    order_insights,
    orders,
    payments,
    portfolio,
    realtime,
    relayer_admin,
    stock_control,
    stocks,
    trading_control,
    transactions,
    watchlist,
    write_offs,
)
from webapp.http.openapi import make_api


def install(app: Flask) -> None:
    api = make_api(app)
    for module in (
        accounts,
        orders,
        order_insights,
        balance,
        transactions,
        portfolio,
        analytics,
        watchlist,
        account_events,
        realtime,
        stocks,
        market,
        payments,
        trading_control,
        stock_control,
        write_offs,
        audit,
        relayer_admin,
        admin_actions,
    ):
        api.register_blueprint(module.blueprint)
    api.register_blueprint(payments.webhooks)
    operations.install(app)
