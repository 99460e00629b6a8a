"""Candles built from a tick stream in Redis: each tick once, through crashes and lost ticks."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.support.properties import examples
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, delete_all_rows
from tests.trading.orders.steps import rows
from tests.trading.threads import run_together
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys
from trading.stocks.candles import build as build_module
from trading.stocks.candles.build import CandleReport, build_candles, purge_minutes
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.queries import CandleRecord, list_candles
from trading.stocks.candles.tables import CANDLE_CURSORS
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import seed_listing
from trading.unit_of_work import UnitOfWork

# Friday, 10:00 KST.
TEN = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
FRIDAY = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)


class Trade(NamedTuple):
    """A trade at a number of seconds after 10:00."""

    after_s: float
    price: int
    volume: int = 1
    code: str = SAMSUNG
    exchange: str = "KRX"

    @property
    def traded_at(self) -> datetime:
        return TEN + timedelta(seconds=self.after_s)


def stream(harness: TradingHarness, *trades: Trade, received_s: float = 0) -> list[Position]:
    """Append trades to the tick stream, received a number of seconds after 10:00."""
    positions = []
    with harness.core.redis.pipeline() as pipeline:
        for trade in trades:
            harness._ticks += 1
            received = TEN + timedelta(seconds=received_s)
            position = Position(int(received.timestamp() * 1_000), harness._ticks)
            tick = Tick(
                code=trade.code,
                price=trade.price,
                volume=trade.volume,
                traded_at=trade.traded_at,
                received_at=received,
                exchange=trade.exchange,
                position=position,
            )
            pipeline.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(position))
            positions.append(position)
        pipeline.execute()
    return positions


def build(harness: TradingHarness) -> CandleReport:
    """Run the builder once."""
    return harness.core.run(build_candles, stream=harness.core.ticks)


def chart(
    harness: TradingHarness,
    interval: str = "min:1",
    code: str = SAMSUNG,
    *,
    count: int = 100,
    before: datetime | None = None,
) -> list[CandleRecord]:
    return harness.core.read(
        list_candles, stock_code=code, interval=CandleInterval(interval), count=count, before=before
    )


def ohlc(candle: CandleRecord) -> tuple[int, int, int, int, int, int]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume, candle.amount


def test_ticks_are_added_to_their_minute_and_day(harness: TradingHarness) -> None:
    """Over several runs; a run without new ticks changes nothing."""
    stream(harness, Trade(0, 70_000, 3), Trade(59, 70_500, 1), Trade(60, 69_900, 2))
    assert build(harness) == CandleReport(ticks=3, candles=3)
    stream(harness, Trade(61, 70_100, 5), Trade(61, 70_200, 1), Trade(61, 180_000, 4, HYNIX))
    assert build(harness) == CandleReport(ticks=3, candles=4)
    assert build(harness) == CandleReport()

    second, first = chart(harness)
    assert (first.starts_at, ohlc(first)) == (TEN, (70_000, 70_500, 70_000, 70_500, 4, 280_500))
    assert (second.starts_at, ohlc(second)) == (
        TEN + timedelta(minutes=1),
        (69_900, 70_200, 69_900, 70_200, 8, 2 * 69_900 + 5 * 70_100 + 70_200),
    )
    (day,) = chart(harness, "day:1")
    assert (day.starts_at, ohlc(day)) == (
        FRIDAY,
        (70_000, 70_500, 69_900, 70_200, 12, first.amount + second.amount),
    )
    assert [ohlc(candle) for candle in chart(harness, code=HYNIX)] == [
        (180_000, 180_000, 180_000, 180_000, 4, 720_000)
    ]
    assert not any(candle.has_gap for candle in (first, second, day))


def test_late_trade_is_added_by_its_trade_time(harness: TradingHarness) -> None:
    """It changes neither a later close nor an earlier open."""
    stream(harness, Trade(10, 70_000), Trade(30, 70_300), Trade(70, 71_000))
    build(harness)
    stream(harness, Trade(20, 69_000), Trade(5, 70_700), Trade(30, 70_400))
    build(harness)

    second, first = chart(harness)
    assert ohlc(first)[:5] == (70_700, 70_700, 69_000, 70_400, 5)
    assert ohlc(second)[:5] == (71_000, 71_000, 71_000, 71_000, 1)
    (day,) = chart(harness, "day:1")
    assert (day.open, day.low, day.close, day.volume) == (70_700, 69_000, 71_000, 6)


def test_day_candle_covers_the_regular_session(krx_harness: TradingHarness) -> None:
    """From the opening auction to the late print of the closing auction."""
    hour = 3_600
    stream(
        krx_harness,
        Trade(-hour - 60, 60_000, exchange="NXT"),
        Trade(-hour, 70_000, 5),
        Trade(0, 71_000, exchange="NXT"),
        Trade(5.5 * hour + 12, 70_200, 7),
        Trade(7 * hour, 75_000),
    )
    assert build(krx_harness) == CandleReport(ticks=5, candles=6)
    (day,) = chart(krx_harness, "day:1")
    assert ohlc(day)[:5] == (70_000, 70_200, 70_000, 70_200, 12)
    assert [candle.close for candle in chart(krx_harness)] == [
        75_000,
        70_200,
        71_000,
        70_000,
        60_000,
    ]


def test_longer_intervals_are_aggregated(harness: TradingHarness) -> None:
    """Pages are contiguous, and the last candle of a page is complete."""
    minutes = [Trade(60 * minute, 70_000 + minute, 1) for minute in (0, 4, 5, 7, 29, 30, 61)]
    stream(harness, *minutes)
    build(harness)
    fives = chart(harness, "min:5")
    assert [
        (ohlc(candle)[:5], (candle.starts_at - TEN) // timedelta(minutes=5))
        for candle in reversed(fives)
    ] == [
        ((70_000, 70_004, 70_000, 70_004, 2), 0),
        ((70_005, 70_007, 70_005, 70_007, 2), 1),
        ((70_029, 70_029, 70_029, 70_029, 1), 5),
        ((70_030, 70_030, 70_030, 70_030, 1), 6),
        ((70_061, 70_061, 70_061, 70_061, 1), 12),
    ]
    assert [candle.volume for candle in chart(harness, "min:30")] == [1, 1, 5]
    assert chart(harness, "min:5", count=2) == fives[:2]
    assert chart(harness, "min:5", count=2, before=fives[1].starts_at) == fives[2:4]
    assert chart(harness, "min:5", before=fives[0].starts_at + timedelta(minutes=1)) == fives
    days = [Trade(86_400 * day, 71_000 + day, 1) for day in (1, 3, 10, 11)]
    stream(harness, *days)
    build(harness)
    assert [candle.volume for candle in chart(harness, "day:1")] == [1, 1, 1, 1, 7]
    assert [ohlc(candle)[:5] for candle in chart(harness, "week:1")] == [
        (71_010, 71_011, 71_010, 71_011, 2),
        (71_003, 71_003, 71_003, 71_003, 1),
        (70_000, 71_001, 70_000, 71_001, 8),
    ]
    assert [candle.volume for candle in chart(harness, "month:1")] == [1, 10]


def test_chart_takes_two_statements(harness: TradingHarness) -> None:
    """The number of statements of a run does not grow with its ticks either."""
    for count in (3, 60):
        stream(harness, *(Trade(60 * minute, 70_000) for minute in range(count)))
        with statements_counted(harness.core.database.engine) as built:
            build(harness)
        assert len([statement for statement in built if "INSERT INTO candles" in statement]) == 1
        with statements_counted(harness.core.database.engine) as queried:
            assert len(chart(harness, "min:5")) == -(-count // 5)
        assert len([statement for statement in queried if statement.startswith("SELECT")]) == 2


@pytest.mark.parametrize("lost", ["trimmed", "deleted"])
def test_gap_marks_the_candles_of_its_time(harness: TradingHarness, lost: str) -> None:
    """Lost ticks are missing in them; candles before and after the gap are not marked."""
    stream(harness, Trade(0, 70_000), received_s=0)
    build(harness)
    stream(harness, Trade(60, 70_100), received_s=60)
    build(harness)
    stream(harness, Trade(70, 90_000), received_s=70)
    if lost == "deleted":
        harness.core.redis.delete(keys.TICK_STREAM)
        assert build(harness) == CandleReport()
    stream(harness, Trade(200, 70_300), received_s=200)
    if lost == "trimmed":
        harness.core.redis.xtrim(keys.TICK_STREAM, maxlen=1, approximate=False)
    assert build(harness) == CandleReport(ticks=1, candles=2, gap=True)
    stream(harness, Trade(300, 70_400), received_s=300)
    build(harness)
    candles = {
        (candle.starts_at - TEN) // timedelta(minutes=1): candle for candle in chart(harness)
    }
    assert {minute: candle.has_gap for minute, candle in candles.items()} == {
        0: True,
        1: True,
        3: True,
        5: False,
    }
    assert [candle.has_gap for candle in chart(harness, "day:1")] == [True]
    assert candles[1].high == 70_100


def test_candles_and_cursor_are_committed_together(harness: TradingHarness) -> None:
    """After a crash before COMMIT the next run adds the same ticks once."""
    stream(harness, Trade(0, 70_000, 5))

    def build_and_crash(uow: UnitOfWork) -> None:
        build_candles(uow, stream=harness.core.ticks)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        harness.core.run(build_and_crash)
    assert (chart(harness), rows(harness, "SELECT * FROM candle_cursors")) == ([], [])
    build(harness)
    assert [candle.volume for candle in chart(harness)] == [5]


def test_deleted_cursor_is_restored_from_the_candles(harness: TradingHarness) -> None:
    """No tick is added twice."""
    stream(harness, Trade(0, 70_000, 5), Trade(60, 70_000, 5))
    build(harness)
    harness.do(lambda session: session.execute(CANDLE_CURSORS.delete()))
    stream(harness, Trade(61, 70_000, 1))
    assert build(harness) == CandleReport(ticks=1, candles=2)
    assert [candle.volume for candle in chart(harness)] == [6, 5]


def test_concurrent_builders_add_each_tick_once(server_harness: TradingHarness) -> None:
    """Also on the first run, when the cursor does not exist yet."""
    harness = server_harness
    for number in range(20):
        stream(harness, Trade(number, 70_000, 1), Trade(60 + number, 70_000, 1))
        reports = run_together(*[lambda: build(harness)] * 3)
        assert sum(report.ticks for report in reports) == 2
    assert [candle.volume for candle in chart(harness)] == [20, 20]
    assert [candle.volume for candle in chart(harness, "day:1")] == [40]


def test_builder_returns_if_the_cursor_is_locked(server_harness: TradingHarness) -> None:
    harness = server_harness
    stream(harness, Trade(0, 70_000))
    build(harness)
    with harness.core.database.engine.begin() as other:
        other.execute(select(CANDLE_CURSORS).with_for_update())
        assert build(harness) == CandleReport(busy=True)


def test_invalid_ticks_are_skipped(harness: TradingHarness) -> None:
    """Unlisted stocks and times outside the calendar; sums are capped."""
    far = (datetime(2199, 12, 31, tzinfo=UTC) - TEN).total_seconds()
    stream(
        harness,
        Trade(0, 70_000),
        Trade(0, 70_000, code="A999999"),
        Trade(far, 70_000),
        Trade(-far / 8, 70_000),
    )
    assert build(harness) == CandleReport(ticks=4, candles=2)
    stream(harness, *[Trade(1, 10**9, 10**15)] * 3)
    build(harness)
    stream(harness, Trade(2, 10**9, 10**15))
    build(harness)
    (minute,) = chart(harness)
    assert (minute.volume, minute.amount, minute.close) == (4 * 10**15 + 1, 10**18, 10**9)


def test_long_backlog_is_read_in_parts(
    harness: TradingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "TICKS_MAX", 4)
    stream(harness, *(Trade(n, 70_000 + n, 1) for n in range(10)))
    assert [build(harness).more for _ in range(3)] == [True, True, False]
    (minute,) = chart(harness)
    assert ohlc(minute)[:5] == (70_000, 70_009, 70_000, 70_009, 10)


def test_old_minutes_are_purged_in_batches_and_days_are_kept(
    harness: TradingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oldest first."""
    monkeypatch.setattr(build_module, "_PURGE_BATCH", 3)
    stream(
        harness,
        *(Trade(60 * n, 70_000) for n in range(10)),
        *(Trade(60 * n, 70_000, code=HYNIX) for n in range(10)),
    )
    build(harness)
    harness.clock.now = TEN + timedelta(days=30, minutes=8)

    def purge() -> int:
        return harness.core.run(purge_minutes, keep_days=30)

    assert [purge() for _ in range(6)] == [4, 4, 4, 4, 0, 0]
    for code in (SAMSUNG, HYNIX):
        assert [candle.starts_at - TEN for candle in chart(harness, code=code)] == [
            timedelta(minutes=9),
            timedelta(minutes=8),
        ]
        assert len(chart(harness, "day:1", code)) == 1


trades = st.builds(
    Trade,
    after_s=st.integers(0, 40).map(lambda n: 7 * n) | st.sampled_from([-40_000, 86_400]),
    price=st.integers(1, 9),
    volume=st.integers(0, 9),
    code=st.sampled_from([SAMSUNG, HYNIX]),
    exchange=st.just("KRX"),
)
# Trades that arrive together, then an event of the builder.
histories = st.lists(
    st.tuples(
        st.lists(trades, max_size=12),
        st.sampled_from(["build", "crash", "wait", "delete the cursor"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_any_history_yields_the_candles_of_all_trades(
    harness: TradingHarness, history: Sequence[Any]
) -> None:
    """Late trades, crashes and deleted cursors do not change the result."""
    delete_all_rows(harness.core.database.engine)
    harness.core.redis.delete(keys.TICK_STREAM)
    harness.core.run(import_stocks, seed_listing())
    all_trades: list[Trade] = []
    for arrived, event in [*history, ((), "build")]:
        stream(harness, *arrived)
        all_trades += arrived
        if event == "delete the cursor":
            harness.do(lambda session: session.execute(CANDLE_CURSORS.delete()))
        if event == "crash":
            with pytest.raises(ZeroDivisionError):
                harness.core.run(_build_and_crash, harness)
        elif event != "wait":
            build(harness)

    for code in (SAMSUNG, HYNIX):
        of_stock = sorted(
            (trade for trade in all_trades if trade.code == code), key=lambda trade: trade.traded_at
        )
        for interval in CandleInterval:
            spans: defaultdict[datetime, list[Trade]] = defaultdict(list)
            for trade in of_stock:
                spans[interval.start(trade.traded_at)].append(trade)
            assert [
                (candle.starts_at, ohlc(candle))
                for candle in reversed(chart(harness, interval, code))
            ] == [
                (
                    start,
                    (
                        inside[0].price,
                        max(trade.price for trade in inside),
                        min(trade.price for trade in inside),
                        inside[-1].price,
                        sum(trade.volume for trade in inside),
                        sum(math.prod((trade.price, trade.volume)) for trade in inside),
                    ),
                )
                for start, inside in sorted(spans.items())
            ]


def _build_and_crash(uow: UnitOfWork, harness: TradingHarness) -> None:
    build_candles(uow, stream=harness.core.ticks)
    raise ZeroDivisionError
