"""Column types: what goes in comes out, the same on every database."""

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


def put(session: Session, **changed: object) -> None:
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


def test_an_instant_without_offset_is_refused(harness: TradingHarness) -> None:
    """Nobody could say later which time it was, so it never gets in."""
    with pytest.raises(StatementError, match="without an offset"):
        harness.core.database.transaction(
            lambda session: put(session, created_at=datetime(2026, 1, 1))  # noqa: DTZ001
        )


@ON_ONE_DATABASE
@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_an_instant_comes_back_to_the_microsecond_in_utc(
    harness: TradingHarness, at: datetime, minutes: int
) -> None:
    """Any aware time is the same instant afterwards, whatever its zone was."""
    given_at, user_id = at.replace(tzinfo=timezone(timedelta(minutes=minutes))), new_id()

    def work(session: Session) -> datetime:
        put(session, id=user_id, created_at=given_at)
        found: datetime = session.execute(
            select(USERS.c.created_at).where(USERS.c.id == user_id)
        ).scalar_one()
        session.execute(delete(USERS).where(USERS.c.id == user_id))
        return found

    found = harness.core.database.transaction(work)
    assert found == given_at
    assert found.utcoffset() == timedelta(0)


@ON_ONE_DATABASE
@given(ids=st.lists(st.uuids(), min_size=2, max_size=8, unique=True))
def test_ids_come_back_and_sort_as_here(harness: TradingHarness, ids: list[object]) -> None:
    """The database orders UUIDs as Python does: locks by ascending id are taken in one order everywhere."""

    def work(session: Session) -> list[object]:
        for one in ids:
            put(session, id=one)
        found = list(session.scalars(select(USERS.c.id).order_by(USERS.c.id)))
        session.execute(delete(USERS))
        return found

    assert harness.core.database.transaction(work) == sorted(ids)  # type: ignore[type-var]


def test_new_ids_ascend() -> None:
    """Within a process every next id is greater, thousands in one millisecond included; all are version 7."""
    ids = [new_id() for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert {one.version for one in ids} == {7}


def test_text_of_any_script_comes_back(harness: TradingHarness) -> None:
    """Korean and a sign beyond the basic plane survive."""
    user_id = new_id()
    harness.core.database.transaction(lambda session: put(session, id=user_id))
    names = harness.core.database.read(lambda session: session.scalars(select(USERS.c.name)).all())
    assert names == ["시험 🐻"]
