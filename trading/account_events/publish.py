"""Publish committed account events to Redis streams, from which clients are served.

A periodic repair publishes events that were missed. The rows are the source of truth: a lost or
empty Redis delays delivery and loses no event.
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

# How far a repair reads back before the last one: longer than a transaction may take and than the
# clocks of two machines may differ.
OVERLAP = timedelta(seconds=60)
# Used when no repair is recorded, as after Redis lost its data.
WINDOW_WITHOUT_CURSOR = timedelta(hours=1)

# Gaps of at most this many events are read for all users in one query.
_FETCHED_MAX = 50


class AccountEventPublisher:
    """Publish what transactions of ``database`` committed; threads may share an instance."""

    def __init__(self, database: Database, streams: AccountStreams) -> None:
        self._database = database
        self._streams = streams

    def publish(self, events: Sequence[AccountEvent]) -> None:
        """Publish committed events of any users, in any order.

        Never raises: the repair publishes what could not be published now.
        """
        try:
            self._publish(events)
        except (MarketUnavailable, DatabaseUnavailable) as fault:
            log.warning(
                "account_events_not_published", count=len(events), reason=type(fault).__name__
            )
        except Exception:
            log.exception("account_events_not_published", count=len(events))

    def _publish(self, events: Sequence[AccountEvent]) -> None:
        batches = group_by_user(events)
        last_ids = {
            user_id: batch[0].id - 1
            for user_id, batch in batches.items()
            # Another transaction committed events in between that may not be published yet.
            if batch[-1].id - batch[0].id >= len(batch)
        }
        last_ids |= self._streams.append(
            [event for event in events if event.user_id not in last_ids]
        )
        if not last_ids:
            return
        ranges = {
            user_id: (event_id, batches[user_id][-1].id) for user_id, event_id in last_ids.items()
        }
        short_ranges = {
            user_id: (first, last)
            for user_id, (first, last) in ranges.items()
            if last - first <= _FETCHED_MAX
        }
        still_behind = self._streams.append(
            self._database.read(partial(events_in_ranges, ranges=short_ranges))
        )
        for user_id in last_ids.keys() - short_ranges.keys() | still_behind.keys():
            self._append_after(user_id, still_behind.get(user_id, last_ids[user_id]))

    def repair(self, *, batch_size: int, now: datetime) -> int:
        """Publish events that were committed but never published; return how many streams.

        Events are missed when Redis is unavailable or a process dies. A stream that lacks events at
        its end gets them. A missing stream is started with the events since the last repair, so a
        client that was connected while Redis lost its data receives all of them; nobody needs older
        ones. Raises MarketUnavailable or DatabaseUnavailable; the next call starts at the same
        point.
        """
        repaired_at = self._streams.last_sweep_at()
        since = now - WINDOW_WITHOUT_CURSOR if repaired_at is None else repaired_at - OVERLAP
        repaired = 0
        for heads in self._heads_changed_since(since, batch_size):
            last_ids = self._streams.last_ids([user_id for user_id, _ in heads])
            for user_id, last_id in heads:
                if user_id not in last_ids:
                    repaired += self._start_stream(user_id, since)
                elif last_ids[user_id] < last_id:
                    self._append_after(user_id, last_ids[user_id])
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

    def _start_stream(self, user_id: UUID, since: datetime) -> bool:
        recent = list(
            dropwhile(lambda event: event.occurred_at < since, self._newest_after(user_id, 0))
        )
        self._streams.append(recent)
        return bool(recent)

    def _append_after(self, user_id: UUID, event_id: int) -> None:
        """Append the events that follow ``event_id`` in the database.

        If these are more than a stream holds, restart the stream with the latest ones.
        """
        while events := self._newest_after(user_id, event_id):
            last_ids = self._streams.append(events, restart=events[0].id > event_id + 1)
            if user_id not in last_ids:
                return
            event_id = last_ids[user_id]

    def _newest_after(self, user_id: UUID, event_id: int) -> list[AccountEvent]:
        return self._database.read(
            partial(
                newest_events_after,
                user_id=user_id,
                event_id=event_id,
                limit=keys.ACCOUNT_STREAM_MAXLEN,
            )
        )
