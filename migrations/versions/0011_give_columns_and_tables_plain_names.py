"""Give columns and tables plain names"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

# By table: columns (old, new), indexes (old, new, columns old and new) and CHECKs with the old
# columns. SQLite renames columns inside CHECKs, MySQL refuses to. SQLite cannot rename a CHECK, so
# CHECKs keep their names.
COLUMNS = {
    "orders": [("wake_at", "next_attempt_at"), ("arriving", "awaiting_first_print")],
    "payments": [
        ("wake_at", "next_attempt_at"),
        ("looks", "check_count"),
        ("hints", "notification_count"),
    ],
    "payment_refunds": [
        ("wake_at", "next_attempt_at"),
        ("looks", "check_count"),
        ("sends", "send_count"),
    ],
}
INDEXES = {
    "orders": [
        ("ix_orders_wake_at", "ix_orders_next_attempt_at", ["wake_at", "id"]),
        ("ix_orders_arriving", "ix_orders_awaiting_first_print", ["arriving", "stock_code"]),
    ],
    "payments": [("ix_payments_wake_at", "ix_payments_next_attempt_at", ["wake_at", "id"])],
    "payment_refunds": [
        ("ix_payment_refunds_wake_at", "ix_payment_refunds_next_attempt_at", ["wake_at", "id"])
    ],
}
CHECKS = {
    "orders": {
        "wake_at": "finished_at IS NULL OR wake_at IS NULL",
        "waits": "finished_at IS NOT NULL OR book_price IS NOT NULL OR wake_at IS NOT NULL",
        "arriving": "arriving IN (0, 1) AND (arriving = 0 OR book_price IS NOT NULL)",
    },
    "payments": {
        "waits": "status <> 'PENDING' OR wake_at IS NOT NULL",
        "looks": "looks >= 0 AND hints >= 0",
    },
    "payment_refunds": {
        "sends": "sends >= 0 AND looks >= 0 AND (sends = 0) = (first_sent_at IS NULL)",
        "wake_at": "(finished_at IS NULL) = (wake_at IS NOT NULL)",
    },
}


def upgrade() -> None:
    for table in COLUMNS:
        _rename_columns(table, back=False)
    _create_pending_fills("pending_fills")
    _move("order_touches", "pending_fills", PENDING_FILLS)
    _create_audit_runs("audit_runs", "run_at")
    _move("audit_looks", "audit_runs", ["id", "looked_at", "accounts", "duration_ms"],
          ["id", "run_at", "accounts", "duration_ms"])  # fmt: skip
    _create_daily_snapshots("daily_snapshots")
    _move("account_days", "daily_snapshots", DAILY_SNAPSHOTS)


def downgrade() -> None:
    _create_daily_snapshots("account_days")
    _move("daily_snapshots", "account_days", DAILY_SNAPSHOTS)
    _create_audit_runs("audit_looks", "looked_at")
    _move("audit_runs", "audit_looks", ["id", "run_at", "accounts", "duration_ms"],
          ["id", "looked_at", "accounts", "duration_ms"])  # fmt: skip
    _create_pending_fills("order_touches")
    _move("pending_fills", "order_touches", PENDING_FILLS)
    for table in reversed(COLUMNS):
        _rename_columns(table, back=True)


def _rename_columns(table: str, *, back: bool) -> None:
    names = dict(COLUMNS[table])
    with _without_checks(table, names, back=back):
        for old, new, _ in INDEXES[table]:
            op.drop_index(new if back else old, table)
        for old, new in names.items():
            source, target = (new, old) if back else (old, new)
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {source} TO {target}")
        for old, new, columns in INDEXES[table]:
            renamed = columns if back else [names.get(one, one) for one in columns]
            op.create_index(old if back else new, table, renamed)


@contextmanager
def _without_checks(table: str, names: dict[str, str], *, back: bool) -> Iterator[None]:
    """Drop the CHECKs that name a column and create them afterwards with its other name."""
    checks = {} if op.get_context().dialect.name == "sqlite" else CHECKS[table]
    for check in checks:
        op.drop_constraint(op.f(f"ck_{table}_{check}"), table, type_="check")
    yield
    for check, condition in checks.items():
        renamed = condition
        for old, new in () if back else names.items():
            renamed = renamed.replace(old, new)
        op.create_check_constraint(op.f(f"ck_{table}_{check}"), table, renamed)


def _move(source: str, target: str, columns: list[str], renamed: list[str] | None = None) -> None:
    """Copy the rows of a table into its successor and drop it."""
    old = sa.table(source, *map(sa.column, columns))
    new = sa.table(target, *map(sa.column, renamed or columns))
    op.execute(new.insert().from_select(renamed or columns, sa.select(old)))
    op.drop_table(source)


PENDING_FILLS = ["order_id", "tick_position", "quantity", "price", "rule", "session",
                 "tick_price", "tick_traded_at", "tick_received_at"]  # fmt: skip
DAILY_SNAPSHOTS = ["user_id", "day", "ended_at", "last_sequence", "cash_balance", "holdings_value",
                   "net_flow", "paid_out", "carried_holdings", "unpriced_holdings",
                   "recorded_at"]  # fmt: skip


def _create_pending_fills(name: str) -> None:
    op.create_table(
        name,
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
            "quantity > 0 AND price > 0 AND tick_price > 0", name=op.f(f"ck_{name}_positive")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f(f"fk_{name}_order_id")),
        sa.PrimaryKeyConstraint("order_id", "tick_position", name=op.f(f"pk_{name}")),
        **_MYSQL,
    )


def _create_audit_runs(name: str, time: str) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(time, INSTANT, nullable=False),
        sa.Column("accounts", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f(f"ck_{name}_id")),
        sa.CheckConstraint("accounts >= 0 AND duration_ms >= 0", name=op.f(f"ck_{name}_figures")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        **_MYSQL,
    )


def _create_daily_snapshots(name: str) -> None:
    op.create_table(
        name,
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
        sa.CheckConstraint("holdings_value >= 0", name=op.f(f"ck_{name}_holdings_value")),
        sa.CheckConstraint(
            "carried_holdings >= 0 AND unpriced_holdings >= 0", name=op.f(f"ck_{name}_holdings")
        ),
        sa.CheckConstraint(
            "paid_out >= 0 AND net_flow + paid_out >= 0", name=op.f(f"ck_{name}_flows")
        ),
        sa.CheckConstraint("last_sequence > 0", name=op.f(f"ck_{name}_last_sequence")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f(f"fk_{name}_user_id")),
        sa.PrimaryKeyConstraint("user_id", "day", name=op.f(f"pk_{name}")),
        **_MYSQL,
    )
