"""The way of committed account events to Redis, where connected clients hear of them: at once, and by a sweep what got lost on the way.

Nothing depends on it but how soon a client hears: the rows are the truth, and Redis may be away or wiped at any time.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import dropwhile
from uuid import UUID

import structlog

from trading.account_events.rows import events_in_ranges, heads_changed_since, newest_events_after
from trading.account_events.stream import AccountEvent, AccountStreams, group_by_user
from trading.db.transactions import Database, DatabaseUnavailable
from trading.marketdata.quotes import MarketUnavailable
from trading.redis import keys

log = structlog.get_logger(__name__)

# How far a sweep looks back behind the last one: longer than a transaction may take, and than clocks of two machines are apart.
OVERLAP = timedelta(seconds=60)
# Where no sweep is remembered, as after a loss of Redis.
LOOK_BACK_WITHOUT_CURSOR = timedelta(hours=1)

# Of so many events that overtook others the missing ones are fetched for all users together.
_FETCHED_MAX = 50


class AccountEventPublisher:
    """Publishes what transactions of ``database`` have committed. Safe to share between threads."""

    def __init__(self, database: Database, streams: AccountStreams) -> None:
        self._database = database
        self._streams = streams

    def publish(self, events: Sequence[AccountEvent]) -> None:
        """Publish committed events, of any users and in any order. Never raises: what can't be published now is left to the sweep."""
        try:
            self._publish(events)
        except (MarketUnavailable, DatabaseUnavailable) as fault:
            log.warning(
                "account_events_not_published", count=len(events), reason=type(fault).__name__
            )
        except Exception:
            log.exception("account_events_not_published", count=len(events))

    def _publish(self, events: Sequence[AccountEvent]) -> None:
        given = group_by_user(events)
        behind = {
            user_id: of_user[0].id - 1
            for user_id, of_user in given.items()
            # Another transaction has committed one between, which may not be published yet.
            if of_user[-1].id - of_user[0].id >= len(of_user)
        }
        behind |= self._streams.append([event for event in events if event.user_id not in behind])
        if not behind:
            return
        ranges = {
            user_id: (event_id, given[user_id][-1].id) for user_id, event_id in behind.items()
        }
        short = {
            user_id: (first, last)
            for user_id, (first, last) in ranges.items()
            if last - first <= _FETCHED_MAX
        }
        still = self._streams.append(self._database.read(partial(events_in_ranges, ranges=short)))
        for user_id in behind.keys() - short.keys() | still.keys():
            self._append_behind(user_id, still.get(user_id, behind[user_id]))

    def repair(self, *, batch_size: int, now: datetime) -> int:
        """Publish what was committed and never published, because Redis was away or a process died; how many users' streams that were.

        A stream that is behind gets what it lacks. One that is not there begins anew with what happened since the last repair, so that a client who
        was connected while Redis was lost hears all of it; older events are not missed by anybody. Raises MarketUnavailable or DatabaseUnavailable,
        and begins at the same place when it is called again.
        """
        swept_at = self._streams.last_sweep_at()
        since = now - LOOK_BACK_WITHOUT_CURSOR if swept_at is None else swept_at - OVERLAP
        repaired = 0
        for heads in self._heads_changed_since(since, batch_size):
            ends = self._streams.last_ids([user_id for user_id, _ in heads])
            for user_id, last_id in heads:
                if user_id not in ends:
                    repaired += self._begin(user_id, since)
                elif ends[user_id] < last_id:
                    self._append_behind(user_id, ends[user_id])
                    repaired += 1
        self._streams.record_sweep(now)
        return repaired

    def _heads_changed_since(
        self, since: datetime, batch_size: int
    ) -> Iterator[list[tuple[UUID, int]]]:
        after: UUID | None = None
        while heads := self._database.read(
            partial(heads_changed_since, since=since, after=after, limit=batch_size)
        ):
            yield heads
            after = heads[-1][0]

    def _begin(self, user_id: UUID, since: datetime) -> bool:
        recent = list(
            dropwhile(lambda event: event.occurred_at < since, self._newest_behind(user_id, 0))
        )
        self._streams.append(recent)
        return bool(recent)

    def _append_behind(self, user_id: UUID, event_id: int) -> None:
        """Append what the database has behind an event; where that is more than a stream holds, it begins anew with the latest."""
        while events := self._newest_behind(user_id, event_id):
            ends = self._streams.append(events, restart=events[0].id > event_id + 1)
            if user_id not in ends:
                return
            event_id = ends[user_id]

    def _newest_behind(self, user_id: UUID, event_id: int) -> list[AccountEvent]:
        return self._database.read(
            partial(
                newest_events_after,
                user_id=user_id,
                event_id=event_id,
                limit=keys.ACCOUNT_STREAM_MAXLEN,
            )
        )
