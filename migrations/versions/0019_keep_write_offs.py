"""Keep write-offs of delisted holdings"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
STOCK_CODE = sa.String(20).with_variant(
    mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "holding_write_offs",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("buy_commission", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("written_off_at", INSTANT, nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_holding_write_offs_quantity")),
        sa.CheckConstraint(
            "cost >= 0 AND buy_commission >= 0", name=op.f("ck_holding_write_offs_cost")
        ),
        sa.ForeignKeyConstraint(
            ["stock_code"], ["stocks.code"], name=op.f("fk_holding_write_offs_stock_code")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_holding_write_offs_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holding_write_offs")),
        **_MYSQL,
    )
    op.create_index(
        "ix_holding_write_offs_user_id", "holding_write_offs", ["user_id", "stock_code"]
    )


def downgrade() -> None:
    written_off = op.get_bind().scalar(sa.text("SELECT COUNT(*) FROM holding_write_offs"))
    if written_off:
        raise CommandError(
            f"The downgrade would lose {written_off} write-offs of holdings. "
            "Restore a backup from before them."
        )
    op.drop_table("holding_write_offs")
