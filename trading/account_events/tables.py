"""Tables of account events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from trading.account_events.stream import EventKind
from trading.db.declarative import APPEND_ONLY, MYSQL, WORD, Base, one_of, table_of
from trading.db.types import Id


class AccountEventHeadRow(Base):
    """Number of events of a user.

    Adding events locks the row until COMMIT, so ids follow the order of the commits.
    """

    __tablename__ = "account_event_heads"
    __table_args__ = (CheckConstraint("last_id > 0", name="last_id"), MYSQL)

    user_id: Mapped[UUID] = mapped_column(Id, ForeignKey("users.id"), primary_key=True)
    last_id: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(index=True)


ACCOUNT_EVENT_HEADS = table_of(AccountEventHeadRow)


class AccountEventRow(Base):
    """An event, never changed afterwards.

    ``id`` counts the user's events from 1 without gaps; ``data`` is a JSON object.
    """

    __tablename__ = "account_events"
    __table_args__ = (
        CheckConstraint("id > 0", name="id"),
        CheckConstraint(one_of("kind", EventKind), name="kind"),
        {**MYSQL, "info": APPEND_ONLY},
    )

    user_id: Mapped[UUID] = mapped_column(
        Id, ForeignKey("account_event_heads.user_id"), primary_key=True
    )
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(WORD)
    occurred_at: Mapped[datetime]
    data: Mapped[str] = mapped_column(Text)


ACCOUNT_EVENTS = table_of(AccountEventRow)
