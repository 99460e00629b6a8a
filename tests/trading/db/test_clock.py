"""The time of everybody who works with the rows: the database server's, told by whatever clock a machine has."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text
from structlog.testing import capture_logs

from launcher.ports import free_port
from tests.support.servers import DatabaseServer
from trading.db import clock as database_clock
from trading.db.clock import TOLERANCE, DatabaseClock, utc_now
from trading.db.transactions import Database

NOTICEABLE = timedelta(minutes=5)

instants = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
# When a look was begun and ended, and when between the two the server read its clock: milliseconds ago.
looks = st.lists(
    st.lists(st.integers(0, 60_000), min_size=3, max_size=3).map(
        lambda ago: sorted(ago, reverse=True)
    ),
    min_size=1,
)


@given(instants, looks)
def test_it_is_the_servers_time_as_exactly_as_a_look_can_tell(
    server_origin: datetime, looks: list[list[int]]
) -> None:
    """Whatever this machine's own clock says; an answer that took long makes it no worse than that took."""
    told = DatabaseClock(create_engine("sqlite://"))
    running = database_clock._running()
    for asked, read, answered in looks:
        told.calibrate(
            server_origin + running - timedelta(milliseconds=read),
            asked=running - timedelta(milliseconds=asked),
            answered=running - timedelta(milliseconds=answered),
        )

    longest = max(timedelta(milliseconds=asked - answered) for asked, _, answered in looks)
    earliest = server_origin + database_clock._running() - longest - TOLERANCE
    assert earliest <= told() <= server_origin + database_clock._running() + longest + TOLERANCE


def test_looks_that_agree_change_nothing() -> None:
    """The time that a process is told never goes back or jumps, as long as nobody sets the server's clock."""
    told = DatabaseClock(create_engine("sqlite://"))
    running, way = database_clock._running(), timedelta(milliseconds=2)
    told.calibrate(utc_now(), asked=running, answered=running)
    origin = told._origin
    for off in (-way, way):
        asked = database_clock._running()
        told.calibrate(told() + off, asked=asked, answered=database_clock._running() + way)
    assert told._origin == origin


def test_a_process_goes_by_its_database(database_server: DatabaseServer) -> None:
    """A server whose clock is an hour ahead of this machine's: so is the time from the first on, and it runs; that is told once."""
    database = Database(database_server.create_database("an_hour_ahead"))
    hour = timedelta(hours=1)

    @event.listens_for(database.engine, "connect")
    def _put_on(connection: object, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET timestamp = {(utc_now() + hour).timestamp()}")

    try:
        with capture_logs() as lines:
            first = database.clock()
            again = database.clock()
    finally:
        database.close()
        database_server.drop_database("an_hour_ahead")
    assert abs(first - utc_now() - hour) < NOTICEABLE
    assert first < again
    assert [(line["event"], round(line["off_s"] / 3_600)) for line in lines] == [("clock_skew", -1)]


def test_it_looks_again_beside_other_work(empty_server_uri: str) -> None:
    """A server whose clock was set meanwhile is noticed with a transaction of its own, which that does not disturb."""
    database = Database(empty_server_uri)
    try:
        before = database.clock()
        database.clock._sync_at = timedelta(0)
        database.clock._origin += timedelta(hours=2)
        found = database.snapshot(lambda session: session.scalar(text("SELECT 1")))
        after = database.clock()
    finally:
        database.close()
    assert found == 1
    assert abs(after - before) < timedelta(minutes=1)


def test_without_a_server_it_is_this_machines_time() -> None:
    """Whoever needs the database notices; whoever does not goes on, and does not wait at each look at the clock."""
    database = Database(f"mysql+pymysql://root@127.0.0.1:{free_port()}/nowhere?charset=utf8mb4")
    began = database_clock._running()
    try:
        assert all(abs(database.clock() - utc_now()) < NOTICEABLE for _ in range(100))
    finally:
        database.close()
    assert database_clock._running() - began < timedelta(seconds=2)
