"""Keep auction prints, and mark orders that are new in the book"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
STOCK_CODE = sa.String(20).with_variant(
    mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "auction_prints",
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("phase_started_at", INSTANT, nullable=False),
        sa.Column("tick_position", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price > 0", name=op.f("ck_auction_prints_price")),
        sa.PrimaryKeyConstraint("stock_code", name=op.f("pk_auction_prints")),
        **_MYSQL,
    )
    # The audit applies a rule to what happened since then.
    rule_changes = op.create_table(
        "rule_changes",
        sa.Column("name", WORD, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rule_changes")),
        **_MYSQL,
    )
    now = datetime.now(UTC).replace(tzinfo=None)
    op.bulk_insert(rule_changes, [{"name": "auction-prices", "since": now}])
    op.add_column(
        "orders", sa.Column("is_new_in_book", sa.Boolean(), server_default="0", nullable=False)
    )
    op.create_index("ix_orders_is_new_in_book", "orders", ["is_new_in_book"])


def downgrade() -> None:
    op.drop_index("ix_orders_is_new_in_book", "orders")
    op.drop_column("orders", "is_new_in_book")
    op.drop_table("rule_changes")
    op.drop_table("auction_prints")
