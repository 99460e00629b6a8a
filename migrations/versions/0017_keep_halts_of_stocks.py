"""Keep the halts of stocks, and events about them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
CHECK = "resumed_at IS NULL OR (halted_at IS NOT NULL AND resumed_at >= halted_at)"
KINDS = "'order', 'fill', 'cash', 'holding', 'payment', 'alert'"


def upgrade() -> None:
    op.add_column("stocks", sa.Column("halted_at", INSTANT, nullable=True))
    # SQLite adds a CHECK only together with its column.
    constraint = f"CONSTRAINT ck_stocks_resumed_at CHECK ({CHECK})"
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"ALTER TABLE stocks ADD COLUMN resumed_at DATETIME {constraint}")
    else:
        op.execute(f"ALTER TABLE stocks ADD COLUMN resumed_at DATETIME(6), ADD {constraint}")
    op.create_index("ix_stocks_resumed_at", "stocks", ["resumed_at"])
    _replace_kinds(f"{KINDS}, 'stock'")


def downgrade() -> None:
    # Delete events of the new kind, which the earlier release cannot read.
    op.execute(sa.text("DELETE FROM account_events WHERE kind = 'stock'"))
    _replace_kinds(KINDS)
    op.drop_index("ix_stocks_resumed_at", "stocks")
    if op.get_context().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_stocks_resumed_at"), "stocks", type_="check")
    op.drop_column("stocks", "resumed_at")
    op.drop_column("stocks", "halted_at")


def _replace_kinds(kinds: str) -> None:
    name = op.f("ck_account_events_kind")
    with op.batch_alter_table("account_events") as events:
        events.drop_constraint(name, type_="check")
        events.create_check_constraint(name, f"kind IN ({kinds})")
