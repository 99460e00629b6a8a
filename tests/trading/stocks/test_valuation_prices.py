"""Valuation prices: the last known trade of a stock, live or recorded."""

from datetime import UTC, date, datetime, time, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from trading.exchange.hours import AlwaysOpen, KrxHours, MarketHours
from trading.exchange.time import KST, trade_date
from trading.marketdata.ticks import Position, Tick
from trading.stocks.candles.build import build_candles
from trading.stocks.candles.model import CandleInterval
from trading.stocks.candles.tables import CANDLES
from trading.stocks.valuation_prices import (
    RecordedPrice,
    RecordedPrices,
    ValuationPrice,
    load_recorded_prices,
    valuation_prices,
)

FRIDAY = date(2026, 11, 20)
KRX = KrxHours({})
FRESHNESS_MS = 10_000


def at(day: int, clock: str) -> datetime:
    return datetime.combine(date(2026, 11, day), time.fromisoformat(clock), KST).astimezone(UTC)


def tick(price: int, traded_at: datetime, *, base: int | None = None) -> Tick:
    return Tick(
        code=SAMSUNG,
        price=price,
        base=base,
        volume=1,
        traded_at=traded_at,
        received_at=traded_at,
        position=Position(1, 1),
    )


def valued(
    recorded: RecordedPrices, last: Tick | None, now: datetime, hours: MarketHours = KRX
) -> ValuationPrice | None:
    ticks = {} if last is None else {SAMSUNG: last}
    return valuation_prices(
        {SAMSUNG: recorded}, ticks, now=now, freshness_ms=FRESHNESS_MS, hours=hours
    ).get(SAMSUNG)


@pytest.mark.parametrize(
    ("now", "freshness"),
    [
        (at(20, "11:05"), "STALE"),
        (at(20, "15:29:59"), "STALE"),
        (at(20, "15:30"), "CLOSE"),
        (at(20, "21:00"), "CLOSE"),
        (at(22, "12:00"), "CLOSE"),
        (at(23, "08:59"), "CLOSE"),
    ],
)
def test_daily_price_is_a_close_once_the_regular_session_is_over(
    now: datetime, freshness: str
) -> None:
    recorded = RecordedPrices(RecordedPrice(71_000, at(20, "10:00"), is_daily=True))
    found = valued(recorded, None, now)
    assert found is not None
    assert (found.price, found.freshness, found.day) == (71_000, freshness, FRIDAY)


def test_market_that_never_closes_has_the_daily_price_as_its_close() -> None:
    recorded = RecordedPrices(RecordedPrice(71_000, at(20, "10:00"), is_daily=True))
    found = valued(recorded, None, at(20, "10:30"), AlwaysOpen())
    assert found is not None
    assert found.freshness == "CLOSE"


def test_tick_of_the_last_trade_precedes_its_recorded_price() -> None:
    traded_at = at(20, "10:00")
    recorded = RecordedPrices(RecordedPrice(70_000, traded_at, is_daily=True), before_today=69_000)
    found = valued(recorded, tick(70_000, traded_at, base=68_500), at(20, "10:00:05"))
    assert found is not None
    assert (found.freshness, found.base_price, found.age_ms) == ("LIVE", 68_500, 5_000)


def test_base_price_of_todays_tick_counts_beside_a_later_recorded_trade() -> None:
    recorded = RecordedPrices(RecordedPrice(70_000, at(20, "11:00"), True), before_today=69_000)
    found = valued(recorded, tick(71_000, at(20, "10:00"), base=68_500), at(20, "11:00:30"))
    assert found is not None
    assert (found.price, found.base_price, found.is_traded_today) == (70_000, 68_500, True)


@pytest.mark.parametrize("days_before", [1, 3, 30])
def test_tick_of_another_day_has_no_base_and_no_change_today(days_before: int) -> None:
    """The feed reports it today, so it was received today."""
    now = at(23, "09:00:01")
    late = msgspec.structs.replace(
        tick(57_000, now - timedelta(days=days_before), base=50_000), received_at=now
    )
    found = valued(RecordedPrices(before_today=56_000), late, now)
    assert found is not None
    assert (found.price, found.base_price, found.is_traded_today) == (57_000, 57_000, False)
    assert found.freshness == "STALE"


_TIMES = st.integers(0, 8 * 86_400).map(lambda s: at(16, "00:00") + timedelta(seconds=s))
_RECORDED = st.builds(RecordedPrice, st.integers(1, 10**6), _TIMES, st.booleans())
_TICKS = st.builds(tick, st.integers(1, 10**6), _TIMES, base=st.none() | st.integers(1, 10**6))


@given(
    recorded=st.builds(
        RecordedPrices,
        st.none() | _RECORDED,
        st.none() | st.integers(1, 10**6),
        st.none() | _RECORDED,
    ),
    last=st.none() | _TICKS,
    now=_TIMES,
)
def test_newest_known_trade_is_the_price(
    recorded: RecordedPrices, last: Tick | None, now: datetime
) -> None:
    known = [one for one in (recorded.newest, last, recorded.fallback) if one is not None]
    found = valued(recorded, last, now)
    assert (found is None) == (not known)
    if found is None:
        return
    # The fallback counts by day only.
    main = [one for one in known if one is not recorded.fallback]
    assert found.day == max(trade_date(one.traded_at) for one in known)
    if main and found.day == trade_date(max(one.traded_at for one in main)):
        assert found.traded_at == max(one.traded_at for one in main)
    if not found.is_traded_today:
        assert found.base_price == found.price
    elif last is not None and trade_date(last.traded_at) == trade_date(now) and last.base:
        assert found.base_price == last.base
    else:
        assert found.base_price == recorded.before_today


@pytest.mark.every_database
def test_prices_are_recorded_by_the_candles_of_trades(harness: TradingHarness) -> None:
    """Samsung is traded on two days, Hynix on none."""
    closed_at = harness.clock()
    harness.tick(69_500)
    harness.clock.advance(days=3)
    harness.tick(70_500)
    harness.clock.advance(minutes=3)
    harness.tick(71_000)
    harness.core.run(build_candles, stream=harness.core.ticks)
    codes = [SAMSUNG, HYNIX, "A999999"]

    found = harness.core.read(load_recorded_prices, codes, now=harness.clock())

    assert found == {
        SAMSUNG: RecordedPrices(
            RecordedPrice(71_000, harness.clock(), is_daily=True), 69_500, closed_at=closed_at
        )
    }
    assert harness.core.read(load_recorded_prices, [], now=harness.clock()) == {}


@pytest.mark.every_database
def test_minute_after_the_close_is_a_later_trade(harness: TradingHarness) -> None:
    """Trades of other sessions are only in the minute candles."""
    closed_at, later = at(20, "15:30"), at(20, "18:00")
    candle = {"open": 1, "high": 10**6, "low": 1, "volume": 1, "amount": 1, "position": 1}
    day = {"candle_interval": CandleInterval.DAY, "starts_at": at(20, "00:00"), "close": 71_000}
    minute = {"candle_interval": CandleInterval.MINUTE, "starts_at": later, "close": 71_500}
    rows = [
        {**candle, **day, "stock_code": SAMSUNG, "opened_at": closed_at, "closed_at": closed_at},
        {**candle, **minute, "stock_code": SAMSUNG, "opened_at": later, "closed_at": later},
    ]
    harness.do(lambda session: session.execute(insert(CANDLES), rows))

    found = harness.core.read(load_recorded_prices, [SAMSUNG], now=at(20, "21:00"))

    assert found == {SAMSUNG: RecordedPrices(RecordedPrice(71_500, later, is_daily=False))}
