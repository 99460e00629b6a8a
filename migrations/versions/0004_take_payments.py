"""Take payments"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _replace_kinds("'order', 'fill', 'cash', 'holding', 'payment', 'alert'")


def downgrade() -> None:
    """Events of the new kinds go: an older release could not read them."""
    op.execute(sa.text("DELETE FROM account_events WHERE kind IN ('payment', 'alert')"))
    _replace_kinds("'order', 'fill', 'cash', 'holding'")


def _replace_kinds(kinds: str) -> None:
    name = op.f("ck_account_events_kind")
    with op.batch_alter_table("account_events") as events:
        events.drop_constraint(name, type_="check")
        events.create_check_constraint(name, f"kind IN ({kinds})")
