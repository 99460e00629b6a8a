"""Account events as the database keeps them: the statements of everybody who adds or asks for some.

Every fill adds four events, and binding a parameter costs more than the server takes for it. So what is added stands in the statement's own text,
which goes to the driver as it is: ids and data in hexadecimal digits, so that nothing in them can be anything but a value.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from trading.account_events.stream import AccountEvent, EventKind
from trading.account_events.tables import ACCOUNT_EVENT_HEADS, ACCOUNT_EVENTS
from trading.db.statements import AnyRow
from trading.db.upsert import on_duplicate, server_of

_LAST_ID = select(ACCOUNT_EVENT_HEADS.c.last_id).where(
    ACCOUNT_EVENT_HEADS.c.user_id == bindparam("user")
)
_BEHIND = select(ACCOUNT_EVENTS).where(
    ACCOUNT_EVENTS.c.user_id == bindparam("user"), ACCOUNT_EVENTS.c.id > bindparam("behind")
)

_INSERT_HEADS = "INSERT INTO account_event_heads (user_id, last_id, updated_at) VALUES"
_ADVANCE_BY = "last_id = LAST_INSERT_ID(old.last_id + {}), updated_at = new.updated_at"
_ADVANCE = "last_id = old.last_id + new.last_id, updated_at = new.updated_at"
# A statement stays far below what a server takes by default (max_allowed_packet).
_ROWS_PER_STATEMENT = 1_000
# What a statement costs is the optimizer's work on its ranges, which grows faster than their number.
_RANGES_PER_STATEMENT = 50


def advance_heads(session: Session, counts: Mapping[UUID, int], *, at: datetime) -> dict[UUID, int]:
    """Lock the heads of these users, by ascending id, and move each on by so many events; the id of the last of these, by user."""
    connection = session.connection()
    users = sorted(counts)

    def or_advance(sets: str) -> str:
        return on_duplicate(
            server_of(connection.dialect), ACCOUNT_EVENT_HEADS.name, "user_id", sets
        )

    if len(users) == 1 and connection.dialect.name != "sqlite":
        # The server returns the argument of LAST_INSERT_ID with its answer, which saves asking for it.
        count = f"{counts[users[0]]:d}"
        answer = connection.exec_driver_sql(
            f"{_INSERT_HEADS} ({_literal(users[0])}, LAST_INSERT_ID({count}), {_instant(at)})"
            f" {or_advance(_ADVANCE_BY.format(count))}"
        )
        return {users[0]: answer.lastrowid}
    values = ", ".join(
        f"({_literal(user_id)}, {counts[user_id]:d}, {_instant(at)})" for user_id in users
    )
    connection.exec_driver_sql(f"{_INSERT_HEADS} {values} {or_advance(_ADVANCE)}")
    listed = ", ".join(map(_literal, users))
    newest = connection.exec_driver_sql(
        f"SELECT last_id FROM account_event_heads WHERE user_id IN ({listed}) ORDER BY user_id"  # noqa: S608
    )
    return dict(zip(users, newest.scalars(), strict=True))


def insert_events(session: Session, events: Sequence[AccountEvent]) -> None:
    """Write events under the ids that their users' heads gave them."""
    connection = session.connection()
    for start in range(0, len(events), _ROWS_PER_STATEMENT):
        values = ", ".join(map(_values, events[start : start + _ROWS_PER_STATEMENT]))
        connection.exec_driver_sql(
            f"INSERT INTO account_events (user_id, id, kind, occurred_at, data) VALUES {values}"  # noqa: S608
        )


def _values(event: AccountEvent) -> str:
    data = msgspec.json.encode(event.data).hex()
    return f"({_literal(event.user_id)}, {event.id:d}, '{EventKind(event.kind):s}', {_instant(event.occurred_at)}, CAST(X'{data}' AS CHAR))"


def _literal(user_id: UUID) -> str:
    return f"X'{user_id.hex}'"


@lru_cache(maxsize=16)
def _instant(at: datetime) -> str:
    return f"'{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"


def last_event_id(session: Session, user_id: UUID) -> int:
    """The id of a user's newest event; 0 before the first."""
    return session.scalar(_LAST_ID, {"user": user_id}) or 0


def first_events_after(
    session: Session, user_id: UUID, event_id: int, *, limit: int
) -> list[AccountEvent]:
    """At most ``limit`` of a user's events behind ``event_id``, from the first one on."""
    wanted = _BEHIND.order_by(ACCOUNT_EVENTS.c.id).limit(limit)
    return _events(session.execute(wanted, {"user": user_id, "behind": event_id}))


def newest_events_after(
    session: Session, user_id: UUID, event_id: int, *, limit: int
) -> list[AccountEvent]:
    """At most ``limit`` of a user's events behind ``event_id``, up to the newest one; ascending too."""
    wanted = _BEHIND.order_by(ACCOUNT_EVENTS.c.id.desc()).limit(limit)
    return _events(session.execute(wanted, {"user": user_id, "behind": event_id}))[::-1]


def events_in_ranges(
    session: Session, ranges: Mapping[UUID, tuple[int, int]]
) -> list[AccountEvent]:
    """The events of each of these users behind the first id and up to the second."""
    wanted = [
        f"(user_id = {_literal(user_id)} AND id > {behind:d} AND id <= {last:d})"
        for user_id, (behind, last) in sorted(ranges.items())
    ]
    found: list[AccountEvent] = []
    for start in range(0, len(wanted), _RANGES_PER_STATEMENT):
        found += _events(
            session.execute(
                select(ACCOUNT_EVENTS).where(
                    text(" OR ".join(wanted[start : start + _RANGES_PER_STATEMENT]))
                )
            )
        )
    return found


def heads_changed_since(
    session: Session, since: datetime, *, after: UUID | None, limit: int
) -> list[tuple[UUID, int]]:
    """Users who have had events since an instant, each with the newest one's id: at most ``limit`` of them, by id, behind the user ``after``."""
    wanted = select(ACCOUNT_EVENT_HEADS.c.user_id, ACCOUNT_EVENT_HEADS.c.last_id).where(
        ACCOUNT_EVENT_HEADS.c.updated_at >= since
    )
    if after is not None:
        wanted = wanted.where(ACCOUNT_EVENT_HEADS.c.user_id > after)
    return [
        (row.user_id, row.last_id)
        for row in session.execute(wanted.order_by(ACCOUNT_EVENT_HEADS.c.user_id).limit(limit))
    ]


def _events(rows: Iterable[AnyRow]) -> list[AccountEvent]:
    return [
        AccountEvent(
            user_id=row.user_id,
            id=row.id,
            kind=EventKind(row.kind),
            occurred_at=row.occurred_at,
            data=msgspec.json.decode(row.data),
        )
        for row in rows
    ]
