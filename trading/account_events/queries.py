"""Query for a user's account events, for clients that catch up."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from trading.account_events.rows import first_events_after, last_event_id
from trading.account_events.stream import AccountEvent
from trading.pagination import page_of


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Events in order.

    ``next_cursor`` is the cursor of the next page, None on the last; ``last_event_id`` is the id of
    the user's newest event, 0 before the first.
    """

    items: tuple[AccountEvent, ...]
    next_cursor: str | None
    last_event_id: int


def list_account_events(session: Session, *, user_id: UUID, after: int, limit: int) -> EventsPage:
    """Return a user's events after event id ``after``, oldest first. Two statements."""
    newest = last_event_id(session, user_id)
    found = first_events_after(session, user_id, after, limit=limit + 1)
    page = page_of(
        found, limit=limit, record=lambda event: event, cursor=lambda event: str(event.id)
    )
    return EventsPage(page.items, page.next_cursor, newest)
