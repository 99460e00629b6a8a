"""Index orders by their end"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_user_id_finished_at", "orders", ["user_id", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_orders_user_id_finished_at", "orders")
