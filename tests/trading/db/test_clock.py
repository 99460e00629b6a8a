"""Tests of the database clock, which follows the server's time instead of the machine's."""

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
# When a reading was requested, made by the server and received, in milliseconds before now.
readings = st.lists(
    st.lists(st.integers(0, 60_000), min_size=3, max_size=3).map(
        lambda ages: sorted(ages, reverse=True)
    ),
    min_size=1,
)


@given(instants, readings)
def test_error_is_at_most_the_longest_round_trip(
    server_origin: datetime, readings: list[list[int]]
) -> None:
    clock = DatabaseClock(create_engine("sqlite://"))
    running = database_clock._running()
    for sent, read, received in readings:
        clock.calibrate(
            server_origin + running - timedelta(milliseconds=read),
            sent=running - timedelta(milliseconds=sent),
            received=running - timedelta(milliseconds=received),
        )

    longest = max(timedelta(milliseconds=sent - received) for sent, _, received in readings)
    earliest = server_origin + database_clock._running() - longest - TOLERANCE
    assert earliest <= clock() <= server_origin + database_clock._running() + longest + TOLERANCE


def test_readings_that_agree_do_not_change_the_time() -> None:
    """The time never goes back or jumps unless the server's clock is set."""
    clock = DatabaseClock(create_engine("sqlite://"))
    running, one_way = database_clock._running(), timedelta(milliseconds=2)
    clock.calibrate(utc_now(), sent=running, received=running)
    origin = clock._origin
    for off in (-one_way, one_way):
        sent = database_clock._running()
        clock.calibrate(clock() + off, sent=sent, received=database_clock._running() + one_way)
    assert clock._origin == origin


def test_time_is_that_of_a_server_an_hour_ahead(database_server: DatabaseServer) -> None:
    """The time is the server's from the first reading on, it advances, and the offset is logged
    once.
    """
    database = Database(database_server.create_database("an_hour_ahead"))
    hour = timedelta(hours=1)

    @event.listens_for(database.engine, "connect")
    def _set_clock_ahead(connection: object, _record: object) -> None:
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


def test_change_of_the_server_clock_is_noticed_during_a_transaction(empty_server_uri: str) -> None:
    """The reading does not disturb the transaction."""
    database = Database(empty_server_uri)
    try:
        before = database.clock()
        database.clock._sync_at = timedelta(0)
        database.clock._origin += timedelta(hours=2)
        result = database.snapshot(lambda session: session.scalar(text("SELECT 1")))
        after = database.clock()
    finally:
        database.close()
    assert result == 1
    assert abs(after - before) < timedelta(minutes=1)


def test_time_is_that_of_the_machine_without_a_server() -> None:
    """Reading the clock neither raises nor waits for a connection each time."""
    database = Database(f"mysql+pymysql://root@127.0.0.1:{free_port()}/nowhere?charset=utf8mb4")
    started = database_clock._running()
    try:
        assert all(abs(database.clock() - utc_now()) < NOTICEABLE for _ in range(100))
    finally:
        database.close()
    assert database_clock._running() - started < timedelta(seconds=2)
