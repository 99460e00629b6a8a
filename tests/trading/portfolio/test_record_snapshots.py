"""Daily snapshots: each account at the end of each trading day, however late they are written."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, update

from tests.support.properties import examples
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, deposit, withdraw
from tests.trading.portfolio.days import close, days_of, record, replayed
from tests.trading.threads import run_together
from trading.accounts.tables import USERS
from trading.exchange.hours import AlwaysOpen, DayChange, KrxHours
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.portfolio import record_snapshots
from trading.portfolio.daily_snapshots import RECORDED_AFTER, days_between, ledger_day
from trading.portfolio.tables import DAILY_SNAPSHOTS
from trading.stocks.candles.tables import CANDLE_CURSORS

FRIDAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)
EVENING = datetime(
    2026, 11, 20, 11, 1, tzinfo=UTC
)  # 20:01 in Korea, after the last print of the after-market
START = 10_000_000


def sold(harness: TradingHarness, user: UUID, quantity: int, code: str = SAMSUNG) -> None:
    harness.place(user, Side.SELL, quantity, code)
    harness.run_all()


def test_snapshot_has_the_cash_shares_and_flows_at_the_days_end(harness: TradingHarness) -> None:
    """Trades and deposits of the next morning are excluded, although it is written later."""
    user = harness.user()
    bought(harness, user, 10)
    deposit(harness, user, 50_000)
    withdraw(harness, user, 20_000)
    close(harness, FRIDAY, 71_000)
    harness.clock.now = EVENING + timedelta(days=2)
    deposit(harness, user, 999)
    bought(harness, user, 5)

    assert record(harness, KrxHours({})) == 1

    (day,) = days_of(harness, user)
    assert day == {
        "day": FRIDAY,
        "ended_at": EVENING,
        "last_sequence": 4,
        "cash_balance": START - 700_105 + 30_000,
        "holdings_value": 710_000,
        "net_flow": START + 30_000,
        "paid_out": 20_000,
        "carried_holdings": 0,
        "unpriced_holdings": 0,
    }


def test_nothing_is_written_until_ten_minutes_after_the_days_end(harness: TradingHarness) -> None:
    """Until then an entry of the day may be uncommitted."""
    user = harness.user()
    harness.clock.now = EVENING + timedelta(minutes=10) - timedelta(microseconds=1)
    assert record(harness, KrxHours({})) == 0
    harness.clock.advance(microseconds=1)
    assert record(harness, KrxHours({})) == 1
    assert days_of(harness, user)[0]["day"] == FRIDAY


def test_close_is_carried_over_days_without_a_trade(harness: TradingHarness) -> None:
    """Samsung traded only on Friday; Hynix has no candle, so its fill at 900,000 counts."""
    user = harness.user()
    bought(harness, user, 2)
    bought(harness, user, 1, 900_000, HYNIX)
    close(harness, FRIDAY, 60_000)
    harness.clock.now = EVENING + timedelta(days=3, minutes=10)

    assert record(harness, KrxHours({})) == 2

    friday, monday = days_of(harness, user)
    names = ("holdings_value", "carried_holdings", "unpriced_holdings")
    assert [friday[name] for name in names] == [1_020_000, 1, 0]
    assert [monday[name] for name in names] == [1_020_000, 2, 0]
    assert (monday["day"], monday["net_flow"]) == (MONDAY, 0)


def test_closed_days_have_no_snapshot(
    harness: TradingHarness,
) -> None:
    """A deposit on a closed day belongs to Tuesday. A market that never closes has a row for every
    day.
    """
    krx, always = harness.user(), harness.user()
    closed = KrxHours({MONDAY: DayChange(MONDAY, closed=True, delay_minutes=0, note="임시 휴장")})
    harness.clock.advance(days=3)
    deposit(harness, krx, 7)
    harness.clock.advance(days=2)
    record(harness, closed)
    assert [(one["day"].day, one["net_flow"]) for one in days_of(harness, krx)] == [
        (20, START),
        (24, 7),
    ]

    harness.do(lambda session: session.execute(delete(DAILY_SNAPSHOTS)))
    record(harness, AlwaysOpen())
    assert [one["day"].day for one in days_of(harness, always)] == [20, 21, 22, 23, 24]


def test_missed_days_are_recorded_later(harness: TradingHarness) -> None:
    """Weeks without a worker, accounts of different age, batches of one account."""
    old = harness.user()
    record(harness)
    harness.clock.advance(days=record_snapshots.DAYS_AT_ONCE + 5)
    new = harness.user()
    harness.clock.advance(days=2)

    assert record(harness, batch_size=1) == record_snapshots.DAYS_AT_ONCE + 7 + 2

    assert len(days_of(harness, old)) == record_snapshots.DAYS_AT_ONCE + 7
    assert [one["day"] for one in days_of(harness, new)] == [
        one["day"] for one in days_of(harness, old)[-2:]
    ]
    assert record(harness) == 0
    assert harness.breaches() == []


def test_snapshot_is_never_changed(harness: TradingHarness) -> None:
    user = harness.user()
    bought(harness, user, 1)
    harness.clock.advance(days=2)
    record(harness)
    before = days_of(harness, user)
    close(harness, FRIDAY, 1_000)
    harness.do(
        lambda session: session.execute(
            delete(DAILY_SNAPSHOTS).where(DAILY_SNAPSHOTS.c.day == FRIDAY)
        )
    )
    record(harness)
    assert days_of(harness, user) == before[1:]


def test_deleted_account_gets_no_more_snapshots(harness: TradingHarness) -> None:
    gone, there = harness.user(), harness.user()
    harness.clock.advance(days=1)
    users = USERS
    harness.do(
        lambda session: session.execute(
            update(users).where(users.c.id == gone).values(deleted_at=harness.clock())
        )
    )
    assert record(harness) == 1
    assert len(days_of(harness, there)) == 1


@pytest.mark.parametrize(("late_s", "rows"), [(0, 1), (-1, 0)])
def test_snapshot_waits_for_the_candles(harness: TradingHarness, late_s: int, rows: int) -> None:
    """Candles that have not read the stream to the day's end may lack its last trade."""
    harness.user()
    cursor = {"id": 1, "position": 0, "read_at": EVENING + timedelta(seconds=late_s)}
    harness.do(lambda session: session.execute(insert(CANDLE_CURSORS), cursor))
    harness.clock.now = EVENING + timedelta(hours=1)
    assert record(harness, KrxHours({})) == rows


def test_recording_takes_the_same_statements_for_any_number_of_accounts(
    harness: TradingHarness,
) -> None:
    counts = []
    for users in (1, 6):
        for _ in range(users):
            bought(harness, harness.user(), 1)
        harness.clock.advance(days=1)
        with statements_counted(harness.core.database.engine) as statements:
            assert record(harness) >= users
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 8


def test_concurrent_runs_write_each_row_once(server_harness: TradingHarness) -> None:
    users = [server_harness.user() for _ in range(5)]
    server_harness.clock.advance(days=3)
    run_together(*[lambda: record(server_harness, batch_size=2)] * 4)
    assert all(len(days_of(server_harness, user)) == 3 for user in users)
    assert server_harness.breaches() == []


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("in", "out", "buy", "sell", "close", "record")),
        st.integers(1, 9),
        st.sampled_from((SAMSUNG, HYNIX)),
        st.integers(0, 40),
    ),
    max_size=12,
)
CORRECTED = {FRIDAY: DayChange(FRIDAY, True, 0, ""), MONDAY: DayChange(MONDAY, False, 90, "")}
MARKETS = st.sampled_from((AlwaysOpen(), KrxHours({}), KrxHours(CORRECTED)))


@given(actions=ACTIONS, hours=MARKETS)
@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck), database=None
)
def test_snapshots_equal_the_replayed_ledger(
    harness: TradingHarness, actions: list[tuple[str, int, str, int]], hours: KrxHours
) -> None:
    """Random flows and trades at any hour, known and unknown closes, recording in time or late."""
    user, known = harness.user(), set[tuple[str, date]]()
    opened_at = harness.clock.now
    for action, size, code, pause_h in actions:
        day = ledger_day(hours, harness.clock.now)
        if action == "in":
            deposit(harness, user, size)
        elif action == "out":
            withdraw(harness, user, size)
        elif action == "buy":
            bought(harness, user, size, 1_000 * size, code)
        elif action == "sell":
            bought(harness, user, size, 1_000 * size, code)
            sold(harness, user, size - size // 2, code)
        elif action == "close" and (code, day) not in known:
            known.add((code, day))
            close(harness, day, 500 * size, code)
        elif action == "record":
            record(harness, hours, batch_size=1)
        harness.clock.advance(hours=pause_h)
    harness.clock.advance(days=4)
    record(harness, hours)

    ended = [
        one
        for one in days_between(hours, trade_date(opened_at), trade_date(harness.clock.now))
        if opened_at < one.ended_at <= harness.clock.now - RECORDED_AFTER
    ]
    assert len(ended) >= 2
    assert days_of(harness, user) == replayed(harness, user, ended)
    assert harness.breaches() == []
