"""Operators correct the calendar while processes run, and a database that is away stops nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.statements import statements_counted
from tests.support.trading_harness import TradingHarness, settings_for
from trading import bootstrap as trading_core
from trading.bootstrap import Core
from trading.db.transactions import rerun_is_safe
from trading.exchange.corrections import remove_day_change, set_day_change
from trading.exchange.hours import AlwaysOpen, DayChange
from trading.exchange.market_hours_provider import (
    REFRESH_AFTER,
    MarketHoursProvider,
    get_day_changes,
)

FRIDAY = date(2026, 11, 20)
SATURDAY = date(2026, 11, 21)
CLOSED = DayChange(FRIDAY, closed=True, delay_minutes=0, note="임시공휴일")


def change_day(core: Core, change: DayChange) -> None:
    core.database.transaction(
        lambda session: set_day_change(session, change, now=core.clock()),
        find_committed=rerun_is_safe,
    )


def forget(core: Core, day: date) -> bool:
    return core.database.transaction(
        lambda session: remove_day_change(session, day), find_committed=rerun_is_safe
    )


@pytest.mark.parametrize(
    "change",
    [
        CLOSED,
        DayChange(SATURDAY, closed=False, delay_minutes=0, note=""),
        DayChange(FRIDAY, closed=False, delay_minutes=360, note="가" * 200),
    ],
)
def test_a_correction_is_read_as_it_was_made(harness: TradingHarness, change: DayChange) -> None:
    """Day, closure, delay and note come back as they were, on each kind of database."""
    change_day(harness.core, change)
    assert harness.core.read(get_day_changes) == {change.day: change}


def test_a_later_correction_replaces_the_earlier(harness: TradingHarness) -> None:
    """Of one day only the last word counts, and taken back once it is gone."""
    late = DayChange(FRIDAY, closed=False, delay_minutes=30, note="전산 장애")
    change_day(harness.core, CLOSED)
    change_day(harness.core, late)
    assert harness.core.read(get_day_changes) == {FRIDAY: late}

    assert (forget(harness.core, FRIDAY), forget(harness.core, FRIDAY)) == (True, False)
    assert harness.core.read(get_day_changes) == {}


def test_a_running_process_goes_by_a_correction_within_half_a_minute(
    harness: TradingHarness,
) -> None:
    """It looks again after 30 seconds and not before; in between no question costs a statement."""
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    assert hours.now().is_trading_day(FRIDAY)
    change_day(harness.core, CLOSED)

    harness.clock.advance(seconds=29)
    with statements_counted(harness.core.database.engine) as sent:
        assert hours.now().is_trading_day(FRIDAY)
    assert sent == []

    harness.clock.advance(seconds=1)
    assert not hours.now().is_trading_day(FRIDAY)


def test_many_threads_look_once(harness: TradingHarness) -> None:
    """However many requests come in while the corrections are old, one statement is sent; nobody waits for it but at the start."""
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    for _ in range(2):
        with (
            statements_counted(harness.core.database.engine) as sent,
            ThreadPoolExecutor(8) as threads,
        ):
            found = list(threads.map(lambda _n: hours.now(), range(32)))
        assert len([statement for statement in sent if "exchange_days" in statement]) == 1
        assert len(set(map(id, found))) == 1
        harness.clock.advance(seconds=30)


def test_a_clock_set_back_does_not_keep_old_corrections(harness: TradingHarness) -> None:
    """Half a minute counts in both directions."""
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    hours.now()
    change_day(harness.core, CLOSED)

    harness.clock.advance(hours=-1)

    assert not hours.now().is_trading_day(FRIDAY)


def test_looking_again_and_finding_the_same_keeps_what_was_computed(
    harness: TradingHarness,
) -> None:
    """The hours are built anew only when a correction changed."""
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    before = hours.now()
    harness.clock.advance(seconds=60)
    assert hours.now() is before


def test_without_a_database_the_computed_calendar_counts(tmp_path: Path) -> None:
    """A process that could never read a correction still knows holidays, and says so in its log, once in half a minute."""
    now = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
    settings = settings_for(
        f"sqlite:///{tmp_path / 'empty.db'}", "redis://127.0.0.1:1/0", market_hours="krx"
    )
    core = trading_core.build(settings, clock=lambda: now)

    with capture_logs() as lines:
        hours = core.market_hours()
        assert core.market_hours() is hours

    assert hours.is_trading_day(FRIDAY)
    assert not hours.is_trading_day(SATURDAY)
    assert [line["event"] for line in lines] == ["exchange_days_unreadable"]
    core.close()


def test_a_database_that_goes_away_leaves_the_known_corrections(harness: TradingHarness) -> None:
    """What was read last goes on to count; what was not is not forgotten by an outage."""
    change_day(harness.core, CLOSED)
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    assert not hours.now().is_trading_day(FRIDAY)

    away = settings_for("sqlite:////nowhere/at/all.db", "redis://127.0.0.1:1/0")
    lost = trading_core.build(away)
    hours._database = lost.database
    harness.clock.advance(seconds=REFRESH_AFTER.total_seconds())

    assert not hours.now().is_trading_day(FRIDAY)
    lost.close()


@pytest.mark.parametrize("rule", ["krx", "always"])
def test_the_settings_say_whose_hours_count(harness: TradingHarness, rule: str) -> None:
    """On a Saturday the exchange is closed and the play market is not."""
    uri = harness.settings.database_uri.get_secret_value()
    settings = settings_for(uri, "redis://127.0.0.1:1/0", market_hours=rule)
    core = trading_core.build(settings, clock=harness.clock)
    assert isinstance(core.market_hours(), AlwaysOpen) == (rule == "always")
    assert core.market_hours().is_trading_day(SATURDAY) == (rule == "always")
    core.close()
