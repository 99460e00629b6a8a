"""Refresh of the operators' corrections, with and without a database."""

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
def test_correction_is_read_as_stored(harness: TradingHarness, change: DayChange) -> None:
    change_day(harness.core, change)
    assert harness.core.read(get_day_changes) == {change.day: change}


def test_later_correction_replaces_the_earlier_one(harness: TradingHarness) -> None:
    late = DayChange(FRIDAY, closed=False, delay_minutes=30, note="전산 장애")
    change_day(harness.core, CLOSED)
    change_day(harness.core, late)
    assert harness.core.read(get_day_changes) == {FRIDAY: late}

    assert (forget(harness.core, FRIDAY), forget(harness.core, FRIDAY)) == (True, False)
    assert harness.core.read(get_day_changes) == {}


def test_running_process_applies_a_correction_within_30_seconds(
    harness: TradingHarness,
) -> None:
    """In between no call needs a statement."""
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    assert hours.now().is_trading_day(FRIDAY)
    change_day(harness.core, CLOSED)

    harness.clock.advance(seconds=29)
    with statements_counted(harness.core.database.engine) as sent:
        assert hours.now().is_trading_day(FRIDAY)
    assert sent == []

    harness.clock.advance(seconds=1)
    assert not hours.now().is_trading_day(FRIDAY)


def test_concurrent_threads_refresh_once(harness: TradingHarness) -> None:
    """One statement is sent, and threads wait for it only at the start."""
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


def test_clock_set_back_does_not_keep_old_corrections(harness: TradingHarness) -> None:
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    hours.now()
    change_day(harness.core, CLOSED)

    harness.clock.advance(hours=-1)

    assert not hours.now().is_trading_day(FRIDAY)


def test_refresh_without_changes_keeps_the_computed_hours(
    harness: TradingHarness,
) -> None:
    hours = MarketHoursProvider(harness.core.database, harness.clock)
    before = hours.now()
    harness.clock.advance(seconds=60)
    assert hours.now() is before


def test_computed_calendar_is_used_without_a_database(tmp_path: Path) -> None:
    """The failure is logged once in 30 seconds."""
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


def test_known_corrections_are_kept_when_the_database_becomes_unavailable(
    harness: TradingHarness,
) -> None:
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
def test_settings_select_the_market_hours(harness: TradingHarness, rule: str) -> None:
    """On a Saturday the exchange is closed and the play market is not."""
    uri = harness.settings.database_uri.get_secret_value()
    settings = settings_for(uri, "redis://127.0.0.1:1/0", market_hours=rule)
    core = trading_core.build(settings, clock=harness.clock)
    assert isinstance(core.market_hours(), AlwaysOpen) == (rule == "always")
    assert core.market_hours().is_trading_day(SATURDAY) == (rule == "always")
    core.close()
