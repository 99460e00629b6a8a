"""Import every table, so that `Base.metadata` describes the whole database."""

import trading.account_events.tables
import trading.accounts.tables
import trading.audit.tables
import trading.exchange.tables
import trading.halts.tables
import trading.idempotency_table
import trading.ledger.tables
import trading.operations.tables
import trading.orders.tables
import trading.payments.tables
import trading.portfolio.tables
import trading.stocks.candles.tables
import trading.stocks.indices.tables
import trading.stocks.tables
import trading.watchlists.tables  # noqa: F401
from trading.db.declarative import Base

__all__ = ["Base"]
