"""Tests of column types: values are returned unchanged by every database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from tests.support.properties import examples
from tests.support.trading_harness import TradingHarness
from trading.accounts.tables import USERS
from trading.db.ids import new_id

ON_ONE_DATABASE = settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def insert_user(session: Session, **changed: object) -> None:
    user_id = changed.get("id", new_id())
    values = {
        "id": user_id,
        "email": f"{user_id}@example.com",
        "name": "시험 🐻",
        "password_hash": "",
        "role": "USER",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "deleted_at": None,
    }
    session.execute(insert(USERS).values({**values, **changed}))


def test_datetime_without_offset_is_refused(harness: TradingHarness) -> None:
    with pytest.raises(StatementError, match="without an offset"):
        harness.core.database.transaction(
            lambda session: insert_user(session, created_at=datetime(2026, 1, 1))  # noqa: DTZ001
        )


@ON_ONE_DATABASE
@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_datetime_is_returned_in_utc_to_the_microsecond(
    harness: TradingHarness, at: datetime, minutes: int
) -> None:
    stored_at, user_id = at.replace(tzinfo=timezone(timedelta(minutes=minutes))), new_id()

    def work(session: Session) -> datetime:
        insert_user(session, id=user_id, created_at=stored_at)
        found: datetime = session.execute(
            select(USERS.c.created_at).where(USERS.c.id == user_id)
        ).scalar_one()
        session.execute(delete(USERS).where(USERS.c.id == user_id))
        return found

    found = harness.core.database.transaction(work)
    assert found == stored_at
    assert found.utcoffset() == timedelta(0)


@ON_ONE_DATABASE
@given(ids=st.lists(st.uuids(), min_size=2, max_size=8, unique=True))
def test_ids_are_returned_unchanged_and_sort_as_in_python(
    harness: TradingHarness, ids: list[object]
) -> None:
    """Locks that are taken by ascending id therefore have one order everywhere."""

    def work(session: Session) -> list[object]:
        for user_id in ids:
            insert_user(session, id=user_id)
        found = list(session.scalars(select(USERS.c.id).order_by(USERS.c.id)))
        session.execute(delete(USERS))
        return found

    assert harness.core.database.transaction(work) == sorted(ids)  # type: ignore[type-var]


def test_new_ids_ascend_within_a_process() -> None:
    """Includes thousands within one millisecond. All are UUIDs of version 7."""
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert {new.version for new in ids} == {7}


def test_text_of_any_script_is_returned_unchanged(harness: TradingHarness) -> None:
    """Includes Korean and a character beyond the Basic Multilingual Plane."""
    user_id = new_id()
    harness.core.database.transaction(lambda session: insert_user(session, id=user_id))
    names = harness.core.database.read(lambda session: session.scalars(select(USERS.c.name)).all())
    assert names == ["시험 🐻"]
