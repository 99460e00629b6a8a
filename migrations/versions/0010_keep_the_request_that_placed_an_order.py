"""Keep the request that placed an order"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

REQUEST_ID = sa.String(64).with_variant(
    mysql.VARCHAR(64, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    """Add the column; it is empty for earlier orders."""
    op.add_column("orders", sa.Column("request_id", REQUEST_ID, nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "request_id")
