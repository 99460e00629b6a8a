"""Keep limit orders in a book"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

BOOK_PRICE = (
    "book_price IS NULL OR (finished_at IS NULL AND accepted_position IS NOT NULL"
    " AND (limit_price IS NULL OR book_price = limit_price))"
)
WAITS = "finished_at IS NOT NULL OR book_price IS NOT NULL OR wake_at IS NOT NULL"
ARRIVING = "arriving IN (0, 1) AND (arriving = 0 OR book_price IS NOT NULL)"


def upgrade() -> None:
    _add_the_book()
    op.create_index("ix_orders_arriving", "orders", ["arriving", "stock_code"], unique=False)
    op.create_index(
        "ix_orders_open", "orders", ["finished_at", "time_in_force", "accepted_at"], unique=False
    )
    # The foreign key on stock_code always needs an index. MySQL deprecates two equal ones.
    op.create_index("ix_orders_resting", "orders", ["stock_code"], unique=False)
    op.drop_index("ix_orders_book", "orders")
    _create_index_book()
    op.add_column("order_executions", sa.Column("session", WORD, nullable=True))
    op.add_column("order_executions", sa.Column("commission_ppm", sa.BigInteger(), nullable=True))
    op.create_table(
        "order_touches",
        sa.Column("order_id", ID, nullable=False),
        sa.Column("tick_position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("rule", WORD, nullable=False),
        sa.Column("session", WORD, nullable=False),
        sa.Column("tick_price", sa.BigInteger(), nullable=False),
        sa.Column("tick_traded_at", INSTANT, nullable=False),
        sa.Column("tick_received_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "quantity > 0 AND price > 0 AND tick_price > 0", name=op.f("ck_order_touches_positive")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_touches_order_id")
        ),
        sa.PrimaryKeyConstraint("order_id", "tick_position", name=op.f("pk_order_touches")),
        **_MYSQL,
    )
    op.create_table(
        "match_cursors",
        sa.Column("shards", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("scanned_at", INSTANT, nullable=False),
        sa.CheckConstraint("shard >= 0 AND shard < shards", name=op.f("ck_match_cursors_shard")),
        sa.PrimaryKeyConstraint("shards", "shard", name=op.f("pk_match_cursors")),
        **_MYSQL,
    )
    op.create_table(
        "trading_halts",
        sa.Column("id", ID, nullable=False),
        sa.Column("running", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("halted_at", INSTANT, nullable=False),
        sa.Column("halted_by", ID, nullable=False),
        sa.Column("resumed_at", INSTANT, nullable=True),
        sa.Column("resumed_by", ID, nullable=True),
        sa.CheckConstraint("running IS NULL OR running = 1", name=op.f("ck_trading_halts_running")),
        sa.CheckConstraint(
            "(running IS NULL) = (resumed_at IS NOT NULL)", name=op.f("ck_trading_halts_resumed_at")
        ),
        sa.CheckConstraint(
            "(resumed_at IS NULL) = (resumed_by IS NULL)", name=op.f("ck_trading_halts_resumed_by")
        ),
        sa.ForeignKeyConstraint(
            ["halted_by"], ["users.id"], name=op.f("fk_trading_halts_halted_by")
        ),
        sa.ForeignKeyConstraint(
            ["resumed_by"], ["users.id"], name=op.f("fk_trading_halts_resumed_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trading_halts")),
        sa.UniqueConstraint("running", name=op.f("uq_trading_halts_running")),
        **_MYSQL,
    )
    op.create_table(
        "exchange_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("delay_minutes", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("closed IN (0, 1)", name=op.f("ck_exchange_days_closed")),
        sa.CheckConstraint(
            "delay_minutes >= 0 AND delay_minutes <= 360 AND (closed = 0 OR delay_minutes = 0)",
            name=op.f("ck_exchange_days_delay_minutes"),
        ),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_exchange_days")),
        **_MYSQL,
    )


def _create_index_book() -> None:
    op.create_index("ix_orders_book", "orders", ["stock_code", "side", "book_price"], unique=False)
    op.drop_index("ix_orders_resting", "orders")


def _add_the_book() -> None:
    if op.get_context().dialect.name == "sqlite":
        # SQLite adds a CHECK only together with a column; otherwise the table would have to be
        # copied.
        op.execute(f"ALTER TABLE orders ADD COLUMN book_price BIGINT CONSTRAINT ck_orders_book_price CHECK ({BOOK_PRICE})"
                   f" CONSTRAINT ck_orders_waits CHECK ({WAITS})")  # fmt: skip
        op.execute("ALTER TABLE orders ADD COLUMN arriving BOOLEAN DEFAULT '0' NOT NULL"
                   f" CONSTRAINT ck_orders_arriving CHECK ({ARRIVING})")  # fmt: skip
        return
    op.add_column("orders", sa.Column("book_price", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("arriving", sa.Boolean(), server_default="0", nullable=False))
    op.create_check_constraint(op.f("ck_orders_book_price"), "orders", BOOK_PRICE)
    op.create_check_constraint(op.f("ck_orders_waits"), "orders", WAITS)
    op.create_check_constraint(op.f("ck_orders_arriving"), "orders", ARRIVING)


def downgrade() -> None:
    """Remove the order book. Open limit orders lose their place, because the earlier release has
    none.
    """
    for table in ("exchange_days", "trading_halts", "match_cursors", "order_touches"):
        op.drop_table(table)
    op.drop_column("order_executions", "commission_ppm")
    op.drop_column("order_executions", "session")
    op.create_index("ix_orders_by_status", "orders", ["stock_code"], unique=False)
    for index in ("ix_orders_book", "ix_orders_arriving", "ix_orders_open"):
        op.drop_index(index, "orders")
    op.create_index(
        "ix_orders_book", "orders", ["stock_code", "status", "side", "limit_price"], unique=False
    )
    op.drop_index("ix_orders_by_status", "orders")
    if op.get_context().dialect.name != "sqlite":
        for check in ("arriving", "waits", "book_price"):
            op.drop_constraint(op.f(f"ck_orders_{check}"), "orders", type_="check")
    op.drop_column("orders", "arriving")
    op.drop_column("orders", "book_price")
