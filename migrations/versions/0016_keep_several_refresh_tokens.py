"""Keep several refresh tokens of a sign-in session"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sign_in_sessions.id"], name=op.f("fk_refresh_tokens_session_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_tokens")),
        **_MYSQL,
    )
    op.create_index(
        op.f("ix_refresh_tokens_session_id"), "refresh_tokens", ["session_id"], unique=False
    )
    op.execute(
        "INSERT INTO refresh_tokens (id, session_id, expires_at, used_at)"
        " SELECT refresh_token_id, id, expires_at, NULL FROM sign_in_sessions"
    )
    op.drop_column("sign_in_sessions", "refresh_token_id")


def downgrade() -> None:
    """Keep the newest unused token of each session; a session without one ends."""
    op.add_column("sign_in_sessions", sa.Column("refresh_token_id", ID, nullable=True))
    op.execute(
        "UPDATE sign_in_sessions SET refresh_token_id = (SELECT MAX(refresh_tokens.id)"
        " FROM refresh_tokens WHERE refresh_tokens.session_id = sign_in_sessions.id"
        " AND refresh_tokens.used_at IS NULL)"
    )
    op.drop_table("refresh_tokens")
    op.execute("DELETE FROM sign_in_sessions WHERE refresh_token_id IS NULL")
    with op.batch_alter_table("sign_in_sessions") as sessions:
        sessions.alter_column("refresh_token_id", existing_type=ID, nullable=False)
