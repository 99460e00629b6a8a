"""Collect account events during a transaction, number and write them before its COMMIT.

Writing an event updates, and so locks, the user's head row until COMMIT; a user's event ids
therefore follow the order of the commits, and a reader that sees event 7 also finds events 1 to 6.
In the lock order heads come after orders, balances and holdings, so events are numbered last.
"""

from collections import Counter

from sqlalchemy.orm import Session

from trading.account_events.new_events import NewEvent
from trading.account_events.rows import advance_heads, insert_events
from trading.account_events.stream import AccountEvent
from trading.db.transactions import after_commit, before_commit

_PENDING = "pending_account_events"


def record_event(session: Session, event: NewEvent) -> None:
    """Write ``event`` with the transaction, and publish it after the COMMIT.

    Use cases call `UnitOfWork.emit`.
    """
    session.info.setdefault(_PENDING, []).append(event)
    before_commit(session, _number_and_write)


def _number_and_write(session: Session) -> None:
    pending: list[NewEvent] = session.info.pop(_PENDING)
    counts = Counter(event.user_id for event in pending)
    newest = advance_heads(session, counts, at=max(event.occurred_at for event in pending))
    last_ids = {user_id: newest[user_id] - count for user_id, count in counts.items()}
    events = []
    for user_id, kind, occurred_at, data in pending:
        last_ids[user_id] += 1
        events.append(
            AccountEvent(
                user_id=user_id,
                id=last_ids[user_id],
                kind=kind,
                occurred_at=occurred_at,
                data=data,
            )
        )
    insert_events(session, events)
    for event in events:
        after_commit(session, event)
