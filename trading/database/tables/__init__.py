"""The tables, with every invariant that a database can hold written as a constraint.

Amounts are won, quantities shares, ages milliseconds; all are integers. Text that people write is utf8mb4, codes are ASCII.
"""

from trading.database.tables.accounts import (
    AccountEventHead,
    AccountEventRow,
    IdempotencyReceipt,
    SignInSession,
    User,
)
from trading.database.tables.administration import AdminAction, AdminActionOutcome
from trading.database.tables.audits import AccountAudit, AccountHalt, AuditBreach, AuditLook
from trading.database.tables.histories import (
    AccountDay,
    Candle,
    CandleCursor,
    CandleGap,
    IndexClose,
)
from trading.database.tables.ledger import Holding, Transaction, VirtualBalance
from trading.database.tables.mapping import Base, table_of
from trading.database.tables.market import ExchangeDay, Stock, TradingHalt
from trading.database.tables.orders import MatchCursor, Order, OrderExecution, OrderTouch
from trading.database.tables.payments import (
    Payment,
    PaymentAlert,
    PaymentCancellation,
    PaymentRefund,
)
from trading.database.tables.watchlists import (
    AlertCursor,
    PriceAlert,
    WatchlistDirectory,
    WatchlistItem,
)

__all__ = [
    "AccountAudit",
    "AccountDay",
    "AccountEventHead",
    "AccountEventRow",
    "AccountHalt",
    "AdminAction",
    "AdminActionOutcome",
    "AlertCursor",
    "AuditBreach",
    "AuditLook",
    "Base",
    "Candle",
    "CandleCursor",
    "CandleGap",
    "ExchangeDay",
    "Holding",
    "IdempotencyReceipt",
    "IndexClose",
    "MatchCursor",
    "Order",
    "OrderExecution",
    "OrderTouch",
    "Payment",
    "PaymentAlert",
    "PaymentCancellation",
    "PaymentRefund",
    "PriceAlert",
    "SignInSession",
    "Stock",
    "TradingHalt",
    "Transaction",
    "User",
    "VirtualBalance",
    "WatchlistDirectory",
    "WatchlistItem",
    "table_of",
]
