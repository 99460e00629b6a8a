"""Keep the method of a payment"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

IDENTIFIER = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    """Add the column; the next check of a payment fills it."""
    op.add_column("payments", sa.Column("method", IDENTIFIER, nullable=True))


def downgrade() -> None:
    op.drop_column("payments", "method")
