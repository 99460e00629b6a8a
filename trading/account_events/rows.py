"""Statements on the tables of account events.

Every execution adds four events, and binding a parameter costs more time than the server needs for
the value. Inserted values are therefore part of the statement's text, which the driver gets as it
is: ids and data as hexadecimal digits, so that they cannot be anything but values.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from trading.account_events.stream import AccountEvent, EventKind
from trading.account_events.tables import ACCOUNT_EVENT_HEADS, ACCOUNT_EVENTS
from trading.db.upsert import on_duplicate, server_of


class _EventRow(NamedTuple):
    user_id: UUID
    id: int
    kind: str
    occurred_at: datetime
    data: str


_EVENT_COLUMNS = [ACCOUNT_EVENTS.c[name] for name in _EventRow._fields]
_LAST_ID = select(ACCOUNT_EVENT_HEADS.c.last_id).where(
    ACCOUNT_EVENT_HEADS.c.user_id == bindparam("user")
)
_AFTER = select(*_EVENT_COLUMNS).where(
    ACCOUNT_EVENTS.c.user_id == bindparam("user"), ACCOUNT_EVENTS.c.id > bindparam("after")
)

_INSERT_HEADS = "INSERT INTO account_event_heads (user_id, last_id, updated_at) VALUES"
_ADVANCE_BY = "last_id = LAST_INSERT_ID(old.last_id + {}), updated_at = new.updated_at"
_ADVANCE = "last_id = old.last_id + new.last_id, updated_at = new.updated_at"
# Keeps a statement far below the default of max_allowed_packet.
_ROWS_PER_STATEMENT = 1_000
# The optimizer's work on the ranges dominates, and it grows faster than their number.
_RANGES_PER_STATEMENT = 50


def advance_heads(session: Session, counts: Mapping[UUID, int], *, at: datetime) -> dict[UUID, int]:
    """Lock the users' head rows by ascending id and advance each by its count.

    Return the new last event id by user.
    """
    connection = session.connection()
    users = sorted(counts)

    def insert_or_advance_clause(sets: str) -> str:
        return on_duplicate(
            server_of(connection.dialect), ACCOUNT_EVENT_HEADS.name, "user_id", sets
        )

    if len(users) == 1 and connection.dialect.name != "sqlite":
        # The server returns the argument of LAST_INSERT_ID with its answer, which saves a query.
        count = f"{counts[users[0]]:d}"
        answer = connection.exec_driver_sql(
            f"{_INSERT_HEADS} ({_literal(users[0])}, LAST_INSERT_ID({count}), {_instant(at)})"
            f" {insert_or_advance_clause(_ADVANCE_BY.format(count))}"
        )
        return {users[0]: answer.lastrowid}
    values = ", ".join(
        f"({_literal(user_id)}, {counts[user_id]:d}, {_instant(at)})" for user_id in users
    )
    connection.exec_driver_sql(f"{_INSERT_HEADS} {values} {insert_or_advance_clause(_ADVANCE)}")
    listed = ", ".join(map(_literal, users))
    newest = connection.exec_driver_sql(
        f"SELECT last_id FROM account_event_heads WHERE user_id IN ({listed}) ORDER BY user_id"  # noqa: S608
    )
    return dict(zip(users, newest.scalars(), strict=True))


def insert_events(session: Session, events: Sequence[AccountEvent]) -> None:
    """Insert events with the ids that ``advance_heads`` assigned."""
    connection = session.connection()
    for start in range(0, len(events), _ROWS_PER_STATEMENT):
        values = ", ".join(map(_values, events[start : start + _ROWS_PER_STATEMENT]))
        connection.exec_driver_sql(
            f"INSERT INTO account_events (user_id, id, kind, occurred_at, data) VALUES {values}"  # noqa: S608
        )


def _values(event: AccountEvent) -> str:
    data = msgspec.json.encode(event.data).hex()
    return (
        f"({_literal(event.user_id)}, {event.id:d}, '{EventKind(event.kind):s}',"
        f" {_instant(event.occurred_at)}, CAST(X'{data}' AS CHAR))"
    )


def _literal(user_id: UUID) -> str:
    return f"X'{user_id.hex}'"


@lru_cache(maxsize=16)
def _instant(at: datetime) -> str:
    return f"'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def last_event_id(session: Session, user_id: UUID) -> int:
    """Return the id of a user's newest event; 0 before the first."""
    return session.scalar(_LAST_ID, {"user": user_id}) or 0


def first_events_after(
    session: Session, user_id: UUID, event_id: int, *, limit: int
) -> list[AccountEvent]:
    """Return at most ``limit`` of a user's events after ``event_id``, starting with the oldest."""
    wanted = _AFTER.order_by(ACCOUNT_EVENTS.c.id).limit(limit)
    return _events(session.execute(wanted, {"user": user_id, "after": event_id}))


def newest_events_after(
    session: Session, user_id: UUID, event_id: int, *, limit: int
) -> list[AccountEvent]:
    """Return the newest ``limit`` of a user's events after ``event_id``, ascending."""
    wanted = _AFTER.order_by(ACCOUNT_EVENTS.c.id.desc()).limit(limit)
    return _events(session.execute(wanted, {"user": user_id, "after": event_id}))[::-1]


def events_in_ranges(
    session: Session, ranges: Mapping[UUID, tuple[int, int]]
) -> list[AccountEvent]:
    """Return each user's events after the first id of the range, up to and including the second."""
    wanted = [
        f"(user_id = {_literal(user_id)} AND id > {after:d} AND id <= {last:d})"
        for user_id, (after, last) in sorted(ranges.items())
    ]
    found: list[AccountEvent] = []
    for start in range(0, len(wanted), _RANGES_PER_STATEMENT):
        found += _events(
            session.execute(
                select(*_EVENT_COLUMNS).where(
                    text(" OR ".join(wanted[start : start + _RANGES_PER_STATEMENT]))
                )
            )
        )
    return found


def heads_changed_since(
    session: Session, since: datetime, *, after: UUID | None, limit: int
) -> list[tuple[UUID, int]]:
    """Return users with events since ``since``, with the id of their newest event.

    At most ``limit`` of them by ascending id, after user ``after``.
    """
    wanted = select(ACCOUNT_EVENT_HEADS.c.user_id, ACCOUNT_EVENT_HEADS.c.last_id).where(
        ACCOUNT_EVENT_HEADS.c.updated_at >= since
    )
    if after is not None:
        wanted = wanted.where(ACCOUNT_EVENT_HEADS.c.user_id > after)
    return [
        (row.user_id, row.last_id)
        for row in session.execute(wanted.order_by(ACCOUNT_EVENT_HEADS.c.user_id).limit(limit))
    ]


def _events(rows: Iterable[Sequence[object]]) -> list[AccountEvent]:
    return [
        AccountEvent(
            user_id=row.user_id,
            id=row.id,
            kind=EventKind(row.kind),
            occurred_at=row.occurred_at,
            data=msgspec.json.decode(row.data),
        )
        for row in map(_EventRow._make, rows)
    ]
