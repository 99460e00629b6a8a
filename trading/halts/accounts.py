"""Check that an account is open and may trade."""

from uuid import UUID

from sqlalchemy import bindparam, column, select, table
from sqlalchemy.orm import Session

from trading.db.types import Id
from trading.errors import Unauthorized
from trading.exchange.time import KST
from trading.halts.errors import AccountHalted
from trading.halts.queries import account_halted_since

# The table belongs to a later layer (accounts); only this is read here.
_USERS = table("users", column("id", Id), column("deleted_at"))
_CLOSED = select(_USERS.c.id).where(
    _USERS.c.id == bindparam("owner"), _USERS.c.deleted_at.is_not(None)
)


def ensure_open(session: Session, user_id: UUID) -> None:
    """Raise Unauthorized if the account is closed.

    Call it after an INSERT that refers to the user: that waits for a transaction that is closing
    the account, and keeps another one waiting.
    """
    if session.scalar(_CLOSED, {"owner": user_id}) is not None:
        raise Unauthorized


def ensure_not_halted(session: Session, user_id: UUID) -> None:
    """Raise AccountHalted while the account is halted."""
    since = account_halted_since(session, user_id)
    if since is not None:
        raise AccountHalted(since=since.astimezone(KST).isoformat())
