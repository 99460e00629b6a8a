"""Table of idempotency receipts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import MYSQL, Base, table_of
from trading.db.types import ascii_text, fixed_bytes


class IdempotencyReceiptRow(Base):
    """An idempotency key of a request, and its first answer once `status` is not NULL."""

    __tablename__ = "idempotency_receipts"
    __table_args__ = (
        Index("ix_idempotency_receipts_created_at", "created_at"),
        CheckConstraint("(status IS NULL) = (body IS NULL)", name="answer"),
        MYSQL,
    )

    scope: Mapped[str] = mapped_column(ascii_text(40), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(ascii_text(64), primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(fixed_bytes(32))
    claim_id: Mapped[UUID]
    claimed_until: Mapped[datetime]
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(
        Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    )
    location: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime]


IDEMPOTENCY_RECEIPTS = table_of(IdempotencyReceiptRow)
