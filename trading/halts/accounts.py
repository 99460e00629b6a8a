"""Check that an account may trade."""

from uuid import UUID

from sqlalchemy.orm import Session

from trading.exchange.time import KST
from trading.halts.errors import AccountHalted
from trading.halts.queries import account_halted_since


def ensure_not_halted(session: Session, user_id: UUID) -> None:
    """Raise AccountHalted while the account is halted."""
    since = account_halted_since(session, user_id)
    if since is not None:
        raise AccountHalted(since=since.astimezone(KST).isoformat())
