"""Keep daily histories of accounts and of an index"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
# For filters and sums over a long ledger. Without them the optimizer reads all users' rows of a
# stock.
_INDEXES = (
    (
        "ix_order_executions_user_id_stock_code_realized_profit",
        "order_executions",
        ["user_id", "stock_code", "realized_profit"],
    ),
    (
        "ix_transactions_user_id_transaction_type_sequence",
        "transactions",
        ["user_id", "transaction_type", "sequence"],
    ),
    (
        "ix_transactions_user_id_stock_code_sequence",
        "transactions",
        ["user_id", "stock_code", "sequence"],
    ),
    ("ix_transactions_user_id_transaction_date", "transactions", ["user_id", "transaction_date"]),
)


def upgrade() -> None:
    op.create_table(
        "account_days",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("cash_balance", sa.BigInteger(), nullable=False),
        sa.Column("holdings_value", sa.BigInteger(), nullable=False),
        sa.Column("net_flow", sa.BigInteger(), nullable=False),
        sa.Column("paid_out", sa.BigInteger(), nullable=False),
        sa.Column("carried_holdings", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_holdings", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.CheckConstraint("holdings_value >= 0", name=op.f("ck_account_days_holdings_value")),
        sa.CheckConstraint(
            "carried_holdings >= 0 AND unpriced_holdings >= 0",
            name=op.f("ck_account_days_holdings"),
        ),
        sa.CheckConstraint(
            "paid_out >= 0 AND net_flow + paid_out >= 0", name=op.f("ck_account_days_flows")
        ),
        sa.CheckConstraint("last_sequence > 0", name=op.f("ck_account_days_last_sequence")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_days_user_id")),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f("pk_account_days")),
        **_MYSQL,
    )
    op.create_table(
        "index_closes",
        sa.Column("index_code", WORD, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("close", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("close > 0", name=op.f("ck_index_closes_close")),
        sa.PrimaryKeyConstraint("index_code", "day", name=op.f("pk_index_closes")),
        **_MYSQL,
    )
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    op.drop_table("index_closes")
    op.drop_table("account_days")
