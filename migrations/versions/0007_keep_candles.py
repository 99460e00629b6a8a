"""Keep candles of the tick stream"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"
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
        "candles",
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("candle_interval", WORD, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("open", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("close", sa.BigInteger(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("closed_at", INSTANT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "candle_interval IN ('min:1', 'day:1')", name=op.f("ck_candles_candle_interval")
        ),
        sa.CheckConstraint(
            "low > 0 AND low <= open AND low <= close AND high >= open AND high >= close",
            name=op.f("ck_candles_prices"),
        ),
        sa.CheckConstraint("volume >= 0 AND amount >= 0", name=op.f("ck_candles_volume")),
        sa.CheckConstraint(
            "opened_at >= starts_at AND closed_at >= opened_at", name=op.f("ck_candles_times")
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_candles_stock_code")
        ),
        sa.PrimaryKeyConstraint(
            "stock_code", "candle_interval", "starts_at", name=op.f("pk_candles")
        ),
        **_MYSQL,
    )
    op.create_index(
        "ix_candles_candle_interval_starts_at", "candles", ["candle_interval", "starts_at"]
    )
    op.create_table(
        "candle_cursors",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("read_at", INSTANT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_candle_cursors_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candle_cursors")),
        **_MYSQL,
    )
    op.create_table(
        "candle_gaps",
        sa.Column("after_position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_candle_gaps_ends_at")),
        sa.PrimaryKeyConstraint("after_position", name=op.f("pk_candle_gaps")),
        **_MYSQL,
    )
    op.create_index("ix_candle_gaps_ends_at", "candle_gaps", ["ends_at"])


def downgrade() -> None:
    op.drop_table("candle_gaps")
    op.drop_table("candle_cursors")
    op.drop_table("candles")
