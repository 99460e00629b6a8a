"""Number account events"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """Create empty tables: events start with the next change of an account."""
    op.create_table(
        "account_event_heads",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("last_id > 0", name=op.f("ck_account_event_heads_last_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_account_event_heads_user_id")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_account_event_heads")),
        **_MYSQL,
    )
    op.create_index(
        "ix_account_event_heads_updated_at", "account_event_heads", ["updated_at"], unique=False
    )
    op.create_table(
        "account_events",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.CheckConstraint("id > 0", name=op.f("ck_account_events_id")),
        sa.CheckConstraint(
            "kind IN ('order', 'fill', 'cash', 'holding')", name=op.f("ck_account_events_kind")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["account_event_heads.user_id"], name=op.f("fk_account_events_user_id")
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_account_events")),
        **_MYSQL,
    )


def downgrade() -> None:
    """Remove all events. Clients start again after the next upgrade."""
    op.drop_table("account_events")
    op.drop_table("account_event_heads")
