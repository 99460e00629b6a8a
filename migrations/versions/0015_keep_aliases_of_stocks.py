"""Keep aliases of stocks for the search"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STOCK_CODE = sa.String(20).with_variant(
    mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
SEED = {
    "A005930": ("삼전", "삼성"),
    "A000660": ("하이닉스", "하닉", "에스케이하이닉스"),
    "A373220": ("엘지에너지솔루션", "엘지엔솔", "엔솔"),
    "A207940": ("삼바",),
    "A005380": ("현대자동차", "현차"),
    "A000270": ("기아차", "기아자동차"),
    "A035420": ("네이버",),
    "A035720": ("카톡", "kakao"),
    "A012330": ("모비스",),
    "A005490": ("포스코", "포스코홀딩스"),
    "A051910": ("엘지화학",),
    "A017670": ("에스케이텔레콤", "skt"),
    "A030200": ("케이티",),
    "A015760": ("한전",),
    "A033780": ("케이티앤지",),
    "A066570": ("엘지전자",),
    "A105560": ("국민은행", "케이비금융"),
}


def upgrade() -> None:
    op.create_table(
        "stock_aliases",
        sa.Column("stock_code", STOCK_CODE, nullable=False),
        sa.Column("alias", sa.String(100), nullable=False),
        sa.Column(
            "added_at",
            sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("stock_code", "alias", name=op.f("pk_stock_aliases")),
        **_MYSQL,
    )
    rows = ", ".join(
        f"('{code}', '{alias}', '2026-11-01 00:00:00.000000')"
        for code, aliases in SEED.items()
        for alias in aliases
    )
    # Constants of this file only.
    op.execute(f"INSERT INTO stock_aliases (stock_code, alias, added_at) VALUES {rows}")  # noqa: S608


def downgrade() -> None:
    op.drop_table("stock_aliases")
