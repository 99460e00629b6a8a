"""Audit accounts one by one, and halt those whose books break an invariant"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.LargeBinary().with_variant(mysql.BINARY(16), "mysql", "mariadb")
INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
WORD = sa.String(32).with_variant(
    mysql.VARCHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    op.create_table(
        "account_audits",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", INSTANT, nullable=False),
        sa.Column("audited_at", INSTANT, nullable=False),
        sa.CheckConstraint("event_id >= 0", name=op.f("ck_account_audits_event_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_audits_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_account_audits")),
        **_MYSQL,
    )
    op.create_index("ix_account_audits_audited_at", "account_audits", ["audited_at"])
    op.create_table(
        "audit_breaches",
        sa.Column("user_id", ID, nullable=False),
        sa.Column("check_number", WORD, nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("found_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("note", sa.String(500), nullable=True),
        sa.CheckConstraint("times > 0", name=op.f("ck_audit_breaches_times")),
        sa.CheckConstraint(
            "(resolved_at IS NULL) = (note IS NULL)", name=op.f("ck_audit_breaches_note")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_breaches_user_id")),
        sa.PrimaryKeyConstraint("user_id", "check_number", name=op.f("pk_audit_breaches")),
        **_MYSQL,
    )
    op.create_index("ix_audit_breaches_open", "audit_breaches", ["resolved_at", "found_at"])
    op.create_table(
        "audit_looks",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("looked_at", INSTANT, nullable=False),
        sa.Column("accounts", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_looks_id")),
        sa.CheckConstraint(
            "accounts >= 0 AND duration_ms >= 0", name=op.f("ck_audit_looks_figures")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_looks")),
        **_MYSQL,
    )
    op.create_table(
        "account_halts",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("running", sa.BigInteger(), nullable=True),
        sa.Column("cause", WORD, nullable=False),
        sa.Column("reason", sa.String(200), nullable=True),
        sa.Column("halted_at", INSTANT, nullable=False),
        sa.Column("halted_by", ID, nullable=True),
        sa.Column("resumed_at", INSTANT, nullable=True),
        sa.Column("resumed_by", ID, nullable=True),
        sa.Column("note", sa.String(500), nullable=True),
        sa.CheckConstraint("running IS NULL OR running = 1", name=op.f("ck_account_halts_running")),
        sa.CheckConstraint(
            "cause IN ('audit-breach', 'administrator')", name=op.f("ck_account_halts_cause")
        ),
        sa.CheckConstraint(
            "(running IS NULL) = (resumed_at IS NOT NULL)", name=op.f("ck_account_halts_resumed_at")
        ),
        sa.CheckConstraint(
            "(resumed_at IS NULL) = (note IS NULL)", name=op.f("ck_account_halts_note")
        ),
        sa.CheckConstraint(
            "resumed_by IS NULL OR resumed_at IS NOT NULL", name=op.f("ck_account_halts_resumed_by")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_halts_user_id")),
        sa.ForeignKeyConstraint(
            ["halted_by"], ["users.id"], name=op.f("fk_account_halts_halted_by")
        ),
        sa.ForeignKeyConstraint(
            ["resumed_by"], ["users.id"], name=op.f("fk_account_halts_resumed_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_halts")),
        sa.UniqueConstraint("user_id", "running", name=op.f("uq_account_halts_user_id_running")),
        **_MYSQL,
    )
    op.create_index("ix_account_halts_running", "account_halts", ["running", "halted_at"])
    # Existing accounts are due in the nightly audit, or earlier when they change.
    op.execute(
        "INSERT INTO account_audits (user_id, event_id, begun_at, audited_at)"
        " SELECT id, 0, created_at, created_at FROM users"
    )


def downgrade() -> None:
    op.drop_table("account_halts")
    op.drop_table("audit_looks")
    op.drop_table("audit_breaches")
    op.drop_table("account_audits")
