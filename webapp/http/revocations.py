"""Publish sessions that a request has ended, so that the push gateway closes their connections.

Best effort: without Redis such a connection ends with its access token, within minutes. HTTP
requests of the session are refused at once in any case.
"""

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import structlog

from trading.accounts.queries import sessions_ended_since
from trading.accounts.revocations import Revocations
from trading.db.transactions import DatabaseUnavailable
from trading.marketdata.quotes import MarketUnavailable
from webapp.context import get_core

log = structlog.get_logger(__name__)


def publish_revocation(session_ids: Collection[UUID]) -> None:
    """Publish that these sessions have ended. Called after the commit; never raises."""
    core = get_core()
    try:
        Revocations(core.redis).announce(
            session_ids, remember_s=core.settings.access_token_minutes * 60
        )
    except MarketUnavailable:
        log.warning("revocations_not_published", count=len(session_ids))


def publish_recent_revocations(user_id: UUID) -> None:
    """Publish the user's ended sessions that may still have an unexpired access token. Never
    raises.
    """
    core = get_core()
    since = core.clock() - timedelta(minutes=core.settings.access_token_minutes)
    try:
        ended = core.read(sessions_ended_since, user_id, since)
    except DatabaseUnavailable:
        log.warning("revocations_not_published")
    else:
        publish_revocation(ended)
