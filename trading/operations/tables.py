"""Tables of the administrators' log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from trading.db.declarative import APPEND_ONLY, MYSQL, WORD, Base, table_of
from trading.db.types import Id, ascii_text
from trading.operations.admin_action_model import (
    ADDRESS_LENGTH_MAX,
    OPERATOR_LENGTH_MAX,
    REQUEST_ID_LENGTH_MAX,
    TARGET_LENGTH_MAX,
)


class AdminActionRow(Base):
    """An action of an administrator (``user_id``) by a request, or of an operator by a command.

    ``operator`` is the user name on the machine, ``target`` the object of the action, ``details`` a
    JSON object of the request. Actions outside of the database are recorded before they begin.
    """

    __tablename__ = "admin_actions"
    __table_args__ = (
        Index("ix_admin_actions_user_id_id", "user_id", "id"),
        Index("ix_admin_actions_action_id", "action", "id"),
        CheckConstraint("(user_id IS NULL) = (operator IS NOT NULL)", name="actor"),
        {**MYSQL, "info": APPEND_ONLY},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(WORD)
    user_id: Mapped[UUID | None] = mapped_column(Id, ForeignKey("users.id"))
    operator: Mapped[str | None] = mapped_column(String(OPERATOR_LENGTH_MAX))
    target: Mapped[str | None] = mapped_column(String(TARGET_LENGTH_MAX))
    details: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(ascii_text(REQUEST_ID_LENGTH_MAX))
    address: Mapped[str | None] = mapped_column(ascii_text(ADDRESS_LENGTH_MAX))
    began_at: Mapped[datetime]


ADMIN_ACTIONS = table_of(AdminActionRow)


class AdminActionOutcomeRow(Base):
    """Outcome of an action; ``details`` is a JSON object.

    An action without an outcome was begun outside of the database, and how it ended is unknown.
    """

    __tablename__ = "admin_action_outcomes"
    __table_args__ = ({**MYSQL, "info": APPEND_ONLY},)

    action_id: Mapped[UUID] = mapped_column(Id, ForeignKey("admin_actions.id"), primary_key=True)
    outcome: Mapped[str] = mapped_column(WORD)
    details: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime]


ADMIN_ACTION_OUTCOMES = table_of(AdminActionOutcomeRow)
