"""Audit accounts that are closed from now on"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Earlier releases left the orders of a closed account open."""
    rule_changes = sa.table(
        "rule_changes", sa.column("name", sa.String(32)), sa.column("since", INSTANT)
    )
    now = datetime.now(UTC).replace(tzinfo=None)
    op.bulk_insert(rule_changes, [{"name": "closed-accounts", "since": now}])


def downgrade() -> None:
    op.execute("DELETE FROM rule_changes WHERE name = 'closed-accounts'")
