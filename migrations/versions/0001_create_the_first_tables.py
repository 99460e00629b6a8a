"""Create the first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _ascii(length: int) -> sa.types.TypeEngine[str]:
    narrow = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return sa.String(length).with_variant(narrow, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "idempotency_receipts",
        sa.Column("scope", _ascii(40), nullable=False),
        sa.Column("idempotency_key", _ascii(64), nullable=False),
        sa.Column(
            "request_hash",
            sa.LargeBinary().with_variant(mysql.BINARY(32), "mysql", "mariadb"),
            nullable=False,
        ),
        sa.Column("claim_id", ID, nullable=False),
        sa.Column("claimed_until", INSTANT, nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column(
            "body", sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=True
        ),
        sa.Column("location", sa.String(length=255), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "(status IS NULL) = (body IS NULL)", name=op.f("ck_idempotency_receipts_answer")
        ),
        sa.PrimaryKeyConstraint("scope", "idempotency_key", name=op.f("pk_idempotency_receipts")),
        **_MYSQL,
    )
    op.create_index(
        "ix_idempotency_receipts_created_at", "idempotency_receipts", ["created_at"], unique=False
    )

    op.create_table(
        "stocks",
        sa.Column("code", _ascii(20), nullable=False),
        sa.Column("isin", _ascii(12), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("english_name", sa.String(length=200), nullable=True),
        sa.Column("market", _ascii(32), nullable=False),
        sa.Column("kind", _ascii(32), nullable=False),
        sa.Column("sector", sa.String(length=50), nullable=True),
        sa.Column("status", _ascii(32), nullable=False),
        sa.Column("listed_shares", sa.BigInteger(), nullable=True),
        sa.Column("reference_price", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("kind IN ('STOCK', 'ETF', 'ETN')", name=op.f("ck_stocks_kind")),
        sa.CheckConstraint("market IN ('KOSPI', 'KOSDAQ', 'KONEX')", name=op.f("ck_stocks_market")),
        sa.CheckConstraint(
            "status IN ('TRADABLE', 'HALTED', 'DELISTED')", name=op.f("ck_stocks_status")
        ),
        sa.CheckConstraint(
            "reference_price IS NULL OR reference_price > 0", name=op.f("ck_stocks_reference_price")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_stocks")),
        **_MYSQL,
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("password_hash", _ascii(255), nullable=False),
        sa.Column("role", _ascii(32), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("deleted_at", INSTANT, nullable=True),
        sa.CheckConstraint("role IN ('USER', 'ADMIN')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        **_MYSQL,
    )
    op.create_table(
        "orders",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("client_order_id", _ascii(64), nullable=True),
        sa.Column("stock_code", _ascii(20), nullable=False),
        sa.Column("side", _ascii(32), nullable=False),
        sa.Column("order_type", _ascii(32), nullable=False),
        sa.Column("time_in_force", _ascii(32), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("limit_price", sa.BigInteger(), nullable=True),
        sa.Column("status", _ascii(32), nullable=False),
        sa.Column("reason", _ascii(32), nullable=True),
        sa.Column("executed_quantity", sa.BigInteger(), nullable=False),
        sa.Column("reserved_cash", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", INSTANT, nullable=False),
        sa.Column("accepted_position", sa.BigInteger(), nullable=True),
        sa.Column("wake_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "(order_type = 'LIMIT') = (limit_price IS NOT NULL)", name=op.f("ck_orders_limit_price")
        ),
        sa.CheckConstraint(
            "(status = 'FILLED') = (executed_quantity = quantity)", name=op.f("ck_orders_filled")
        ),
        sa.CheckConstraint(
            "(status IN ('PENDING', 'PARTIALLY_FILLED')) = (finished_at IS NULL)",
            name=op.f("ck_orders_finished_at"),
        ),
        sa.CheckConstraint("order_type IN ('MARKET', 'LIMIT')", name=op.f("ck_orders_order_type")),
        sa.CheckConstraint(
            "reserved_cash >= 0 AND (side = 'BUY' OR reserved_cash = 0)",
            name=op.f("ck_orders_reserved_cash"),
        ),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_orders_side")),
        sa.CheckConstraint(
            "status <> 'PARTIALLY_FILLED' OR executed_quantity > 0",
            name=op.f("ck_orders_partially_filled"),
        ),
        sa.CheckConstraint(
            "status <> 'REJECTED' OR reason IS NOT NULL", name=op.f("ck_orders_reason")
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('PENDING', 'REJECTED') OR executed_quantity = 0",
            name=op.f("ck_orders_unfilled"),
        ),
        sa.CheckConstraint(
            "time_in_force IN ('DAY', 'GTC', 'IOC', 'FOK')", name=op.f("ck_orders_time_in_force")
        ),
        sa.CheckConstraint(
            "executed_quantity >= 0 AND executed_quantity <= quantity",
            name=op.f("ck_orders_executed_quantity"),
        ),
        sa.CheckConstraint(
            "finished_at IS NULL OR wake_at IS NULL", name=op.f("ck_orders_wake_at")
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_orders_quantity")),
        sa.ForeignKeyConstraint(["stock_code"], ["stocks.code"], name=op.f("fk_orders_stock_code")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_orders_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint(
            "user_id", "client_order_id", name=op.f("uq_orders_user_id_client_order_id")
        ),
        **_MYSQL,
    )
    op.create_index(
        "ix_orders_book", "orders", ["stock_code", "status", "side", "limit_price"], unique=False
    )
    op.create_index("ix_orders_user_id_id", "orders", ["user_id", "id"], unique=False)
    op.create_index("ix_orders_wake_at", "orders", ["wake_at", "id"], unique=False)

    op.create_table(
        "portfolios",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stock_code", _ascii(20), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("reserved_quantity", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("buy_commission", sa.BigInteger(), nullable=False),
        sa.Column("realized_profit", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("cost >= 0 AND buy_commission >= 0", name=op.f("ck_portfolios_cost")),
        sa.CheckConstraint(
            "quantity > 0 OR (cost = 0 AND buy_commission = 0)", name=op.f("ck_portfolios_empty")
        ),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_portfolios_quantity")),
        sa.CheckConstraint(
            "reserved_quantity >= 0 AND reserved_quantity <= quantity",
            name=op.f("ck_portfolios_reserved_quantity"),
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_portfolios_stock_code")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_portfolios_user_id")),
        sa.PrimaryKeyConstraint("user_id", "stock_code", name=op.f("pk_portfolios")),
        **_MYSQL,
    )
    op.create_table(
        "sign_in_sessions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("refresh_token_id", ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.Column("revoked_reason", _ascii(32), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sign_in_sessions_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_sessions")),
        **_MYSQL,
    )
    op.create_index(
        op.f("ix_sign_in_sessions_expires_at"), "sign_in_sessions", ["expires_at"], unique=False
    )
    op.create_index(
        op.f("ix_sign_in_sessions_user_id"), "sign_in_sessions", ["user_id"], unique=False
    )

    op.create_table(
        "virtual_balances",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("cash_balance", sa.BigInteger(), nullable=False),
        sa.Column("reserved_cash", sa.BigInteger(), nullable=False),
        sa.Column("transaction_count", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "cash_balance >= reserved_cash", name=op.f("ck_virtual_balances_available_cash")
        ),
        sa.CheckConstraint("reserved_cash >= 0", name=op.f("ck_virtual_balances_reserved_cash")),
        sa.CheckConstraint(
            "transaction_count >= 0", name=op.f("ck_virtual_balances_transaction_count")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_virtual_balances_user_id")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_virtual_balances")),
        **_MYSQL,
    )
    op.create_table(
        "order_executions",
        sa.Column("id", ID, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stock_code", _ascii(20), nullable=False),
        sa.Column("side", _ascii(32), nullable=False),
        sa.Column("fill_number", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("commission", sa.BigInteger(), nullable=False),
        sa.Column("transaction_tax", sa.BigInteger(), nullable=False),
        sa.Column("rural_tax", sa.BigInteger(), nullable=False),
        sa.Column("rule", _ascii(32), nullable=False),
        sa.Column("tick_position", sa.BigInteger(), nullable=False),
        sa.Column("tick_price", sa.BigInteger(), nullable=False),
        sa.Column("tick_traded_at", INSTANT, nullable=False),
        sa.Column("tick_age_ms", sa.BigInteger(), nullable=False),
        sa.Column("executed_at", INSTANT, nullable=False),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.Column("applied_at", INSTANT, nullable=True),
        sa.Column("cost", sa.BigInteger(), nullable=True),
        sa.Column("buy_commission", sa.BigInteger(), nullable=True),
        sa.Column("realized_profit", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(side = 'SELL' AND applied_at IS NOT NULL) = (realized_profit IS NOT NULL)",
            name=op.f("ck_order_executions_realized_profit_known"),
        ),
        sa.CheckConstraint(
            "side = 'SELL' OR (transaction_tax = 0 AND rural_tax = 0)",
            name=op.f("ck_order_executions_sale_taxes"),
        ),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_order_executions_side")),
        sa.CheckConstraint("amount = price * quantity", name=op.f("ck_order_executions_amount")),
        sa.CheckConstraint(
            "applied_at IS NULL OR settled_at IS NOT NULL",
            name=op.f("ck_order_executions_settled_before_applied"),
        ),
        sa.CheckConstraint(
            "commission >= 0 AND transaction_tax >= 0 AND rural_tax >= 0",
            name=op.f("ck_order_executions_costs"),
        ),
        sa.CheckConstraint(
            "fill_number > 0 AND quantity > 0 AND price > 0",
            name=op.f("ck_order_executions_positive"),
        ),
        sa.CheckConstraint(
            "realized_profit IS NULL OR realized_profit = amount - commission - transaction_tax - rural_tax - cost - buy_commission",
            name=op.f("ck_order_executions_realized_profit"),
        ),
        sa.CheckConstraint("tick_age_ms >= 0", name=op.f("ck_order_executions_tick_age_ms")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_executions_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_order_executions_stock_code")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_order_executions_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_executions")),
        sa.UniqueConstraint(
            "order_id", "fill_number", name=op.f("uq_order_executions_order_id_fill_number")
        ),
        **_MYSQL,
    )
    op.create_index(
        "ix_order_executions_due",
        "order_executions",
        ["applied_at", "settled_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_order_executions_user_id_executed_at",
        "order_executions",
        ["user_id", "executed_at"],
        unique=False,
    )

    op.create_table(
        "transactions",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("transaction_type", _ascii(32), nullable=False),
        sa.Column("stock_code", _ascii(20), nullable=True),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("execution_id", ID, nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("commission", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("cash_before", sa.BigInteger(), nullable=False),
        sa.Column("cash_after", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=True),
        sa.Column("transaction_date", INSTANT, nullable=False),
        sa.CheckConstraint(
            "(transaction_type IN ('BUY', 'SELL')) = (execution_id IS NOT NULL)",
            name=op.f("ck_transactions_trade"),
        ),
        sa.CheckConstraint(
            "cash_after = cash_before + CASE transaction_type WHEN 'BUY' THEN -amount WHEN 'SELL' THEN amount WHEN 'DEPOSIT' THEN amount WHEN 'WITHDRAW' THEN -amount WHEN 'REFUND' THEN -amount WHEN 'DIVIDEND' THEN amount WHEN 'FEE' THEN -amount WHEN 'TAX' THEN -amount END - commission - tax",
            name=op.f("ck_transactions_cash_after"),
        ),
        sa.CheckConstraint(
            "transaction_type IN ('BUY', 'SELL', 'DEPOSIT', 'WITHDRAW', 'REFUND', 'DIVIDEND', 'FEE', 'TAX')",
            name=op.f("ck_transactions_transaction_type"),
        ),
        sa.CheckConstraint(
            "(execution_id IS NOT NULL) = (order_id IS NOT NULL)",
            name=op.f("ck_transactions_order"),
        ),
        sa.CheckConstraint(
            "amount >= 0 AND commission >= 0 AND tax >= 0", name=op.f("ck_transactions_amounts")
        ),
        sa.CheckConstraint(
            "execution_id IS NULL OR amount = price * quantity",
            name=op.f("ck_transactions_trade_amount"),
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_transactions_sequence")),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["order_executions.id"], name=op.f("fk_transactions_execution_id")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_transactions_order_id")),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_transactions_stock_code")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_transactions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sa.UniqueConstraint("execution_id", name=op.f("uq_transactions_execution_id")),
        sa.UniqueConstraint("user_id", "sequence", name=op.f("uq_transactions_user_id_sequence")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("transactions")

    op.drop_table("order_executions")
    op.drop_table("virtual_balances")

    op.drop_table("sign_in_sessions")
    op.drop_table("portfolios")

    op.drop_table("orders")
    op.drop_table("users")
    op.drop_table("stocks")

    op.drop_table("idempotency_receipts")
