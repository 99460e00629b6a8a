"""Keep what decides the price limits of a stock"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# By column: its type and default, and its CHECK.
CHECKED = {
    "leverage_percent": (
        "BIGINT DEFAULT '100' NOT NULL",
        "leverage_percent <> 0 AND leverage_percent >= -300 AND leverage_percent <= 300",
    ),
    "in_liquidation": ("BOOLEAN DEFAULT '0' NOT NULL", "in_liquidation IN (0, 1)"),
}


def upgrade() -> None:
    """Add the columns. Existing stocks are not leveraged and not in liquidation trading."""
    op.add_column("stocks", sa.Column("listed_on", sa.Date(), nullable=True))
    # SQLite adds a CHECK only together with its column.
    for column, (definition, check) in CHECKED.items():
        constraint = f"CONSTRAINT ck_stocks_{column} CHECK ({check})"
        add = f"ALTER TABLE stocks ADD COLUMN {column} {definition}"
        op.execute(f"{add} {constraint}" if _on_sqlite() else f"{add}, ADD {constraint}")


def downgrade() -> None:
    for column in reversed(CHECKED):
        if not _on_sqlite():
            op.drop_constraint(op.f(f"ck_stocks_{column}"), "stocks", type_="check")
        op.drop_column("stocks", column)
    op.drop_column("stocks", "listed_on")


def _on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"
