"""Keep the administrators' log"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
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
        "admin_actions",
        sa.Column("id", ID, nullable=False),
        sa.Column("action", _ascii(32), nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("operator", sa.String(64), nullable=True),
        sa.Column("target", sa.String(200), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("request_id", _ascii(64), nullable=True),
        sa.Column("address", _ascii(45), nullable=True),
        sa.Column("began_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "(user_id IS NULL) = (operator IS NOT NULL)", name=op.f("ck_admin_actions_actor")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_admin_actions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_actions")),
        **_MYSQL,
    )
    op.create_index("ix_admin_actions_user_id_id", "admin_actions", ["user_id", "id"])
    op.create_index("ix_admin_actions_action_id", "admin_actions", ["action", "id"])
    op.create_table(
        "admin_action_outcomes",
        sa.Column("action_id", ID, nullable=False),
        sa.Column("outcome", _ascii(32), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["action_id"], ["admin_actions.id"], name=op.f("fk_admin_action_outcomes_action_id")
        ),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_admin_action_outcomes")),
        **_MYSQL,
    )


def downgrade() -> None:
    op.drop_table("admin_action_outcomes")
    op.drop_table("admin_actions")
