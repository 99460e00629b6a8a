"""Keep watchlists and price alerts"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
STOCK_CODE = sa.String(20).with_variant(
    mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Create the default group for every existing account."""
    _create_directories()
    op.execute(
        sa.text(
            "INSERT INTO watchlist_directories (id, user_id, name, position, created_at)"
            " SELECT id, id, '관심 종목', 0, created_at FROM users WHERE deleted_at IS NULL"
        )
    )
    _create_items()
    _create_alerts()
    op.create_table(
        "alert_cursors",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_alert_cursors_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_cursors")),
        **_MYSQL,
    )


def _create_directories() -> None:
    op.create_table(
        "watchlist_directories",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_watchlist_directories_position")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_watchlist_directories_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watchlist_directories")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_watchlist_directories_user_id_name")),
        **_MYSQL,
    )


def _create_items() -> None:
    op.create_table(
        "watchlist_items",
        sa.Column("id", ID, nullable=False),
        sa.Column("directory_id", ID, nullable=False),
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.String(500), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_watchlist_items_position")),
        sa.ForeignKeyConstraint(
            ["directory_id"],
            ["watchlist_directories.id"],
            name=op.f("fk_watchlist_items_directory_id"),
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_watchlist_items_stock_code")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watchlist_items")),
        sa.UniqueConstraint(
            "directory_id", "stock_code", name=op.f("uq_watchlist_items_directory_id_stock_code")
        ),
        **_MYSQL,
    )
    op.create_index(
        "ix_watchlist_items_stock_code", "watchlist_items", ["stock_code"], unique=False
    )


def _create_alerts() -> None:
    op.create_table(
        "price_alerts",
        sa.Column("item_id", ID, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("bound", sa.BigInteger(), nullable=False),
        sa.Column("approach", WORD, nullable=False),
        sa.Column("armed_at", INSTANT, nullable=False),
        sa.Column("armed_position", sa.BigInteger(), nullable=False),
        sa.Column("fired_at", INSTANT, nullable=True),
        sa.Column("tick_price", sa.BigInteger(), nullable=True),
        sa.Column("tick_traded_at", INSTANT, nullable=True),
        sa.Column("tick_position", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('target_price', 'upper_price', 'lower_price')",
            name=op.f("ck_price_alerts_kind"),
        ),
        sa.CheckConstraint(
            "approach IN ('FROM_BELOW', 'FROM_ABOVE', 'UNKNOWN')",
            name=op.f("ck_price_alerts_approach"),
        ),
        sa.CheckConstraint(
            "bound > 0 AND armed_position >= 0", name=op.f("ck_price_alerts_positive")
        ),
        sa.CheckConstraint(
            "(kind <> 'upper_price' OR approach = 'FROM_BELOW') AND (kind <> 'lower_price' OR approach = 'FROM_ABOVE')",
            name=op.f("ck_price_alerts_approach_of_kind"),
        ),
        sa.CheckConstraint(
            "(fired_at IS NULL) = (tick_price IS NULL) AND (fired_at IS NULL) = (tick_position IS NULL)"
            " AND (fired_at IS NULL) = (tick_traded_at IS NULL)",
            name=op.f("ck_price_alerts_fired_at"),
        ),
        sa.CheckConstraint(
            "tick_position IS NULL OR tick_position > armed_position",
            name=op.f("ck_price_alerts_tick_position"),
        ),
        sa.CheckConstraint(
            "tick_price IS NULL OR (approach = 'FROM_BELOW' AND tick_price >= bound)"
            " OR (approach = 'FROM_ABOVE' AND tick_price <= bound)",
            name=op.f("ck_price_alerts_tick_price"),
        ),
        sa.ForeignKeyConstraint(
            ["item_id"], ["watchlist_items.id"], name=op.f("fk_price_alerts_item_id")
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_price_alerts_stock_code")
        ),
        sa.PrimaryKeyConstraint("item_id", "kind", name=op.f("pk_price_alerts")),
        **_MYSQL,
    )
    op.create_index(
        "ix_price_alerts_armed", "price_alerts", ["stock_code", "approach", "fired_at", "bound"]
    )


def downgrade() -> None:
    op.drop_table("alert_cursors")
    op.drop_table("price_alerts")
    op.drop_table("watchlist_items")
    op.drop_table("watchlist_directories")
