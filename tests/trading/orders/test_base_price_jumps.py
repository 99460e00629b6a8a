"""Base prices outside the price limits that the last recorded close would give."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, cash, shares
from tests.trading.orders.test_evidence import at, kst, prices
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.price_grid import LimitRules, ceil_to_grid
from trading.exchange.time import KST
from trading.orders.begun_phases import has_jumped
from trading.orders.model import EndReason
from trading.stocks.candles.build import build_candles
from trading.stocks.tables import STOCKS

GTC = TimeInForce.GTC
DAY = datetime(2026, 11, 20, tzinfo=KST)


def close_day_at(
    harness: TradingHarness, price: int, code: str = SAMSUNG, *, day: int = 19
) -> None:
    """Trade at a price on a day and record the candles."""
    at(harness, kst(day, "15:30:01"))
    harness.tick(price, code, base=price)
    harness.core.run(build_candles, stream=harness.core.ticks)
    harness.match()


@pytest.mark.every_database
def test_orders_of_earlier_days_end_when_the_base_price_jumps(krx_harness: TradingHarness) -> None:
    """A share at 80,000 won is split into four, or four are merged: others stay."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(19, "14:00"))
    bought(harness, user, 10, 80_000)
    at(harness, kst(19, "14:01"))
    harness.tick(200_000, HYNIX)
    other = harness.place(user, Side.BUY, 1, HYNIX, limit=180_000, time_in_force=GTC)
    sale = harness.place(user, Side.SELL, 10, limit=81_000, time_in_force=GTC)
    buys = [
        harness.place(user, Side.BUY, 1, limit=limit, time_in_force=GTC)
        for limit in (70_000, 60_000)
    ]
    close_day_at(harness, 80_000)
    at(harness, kst(20, "08:40"))
    informed = harness.place(user, Side.BUY, 1, limit=20_500)

    at(harness, kst(20, "09:00:10"))
    harness.tick(20_100, base=20_000)
    harness.tick(200_000, HYNIX, base=200_000)
    with capture_logs() as lines:
        report = harness.match()

    assert (report.jumps, report.ended) == (1, {EndReason.BASE_PRICE_CHANGED: 3})
    (line,) = [line for line in lines if line["event"] == "base_price_jumped"]
    assert (line["stock_code"], line["last_close"], line["base_price"]) == (
        SAMSUNG,
        80_000,
        20_000,
    )
    for order in (sale, *buys):
        ended = harness.order(user, order.id)
        assert (ended.status, ended.reason) == ("CANCELLED", "base-price-changed")
    assert prices(harness, user, informed) == [20_100]
    assert harness.order(user, other.id).status == "PENDING"
    assert cash(harness, user)[1] == harness.order(user, other.id).reserved_cash
    assert shares(harness, user) == (11, 0)


def test_base_price_within_the_limits_of_the_close_ends_nothing(
    krx_harness: TradingHarness,
) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(19, "14:00"))
    order = harness.place(user, Side.BUY, 1, limit=60_000, time_in_force=GTC)
    close_day_at(harness, 70_000)
    at(harness, kst(20, "09:00:10"))
    harness.tick(69_900, base=70_000)
    report = harness.match()

    assert (report.jumps, dict(report.ended)) == (0, {})
    assert harness.order(user, order.id).status == "PENDING"


@pytest.mark.every_database
def test_old_close_ends_no_order_that_was_accepted_after_its_day(
    krx_harness: TradingHarness,
) -> None:
    """A quiet stock was not followed between the last recorded close and the order."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(17, "14:00"))
    earlier = harness.place(user, Side.BUY, 1, limit=12_000, time_in_force=GTC)
    close_day_at(harness, 13_000, day=17)
    at(harness, kst(19, "14:00"))
    later = harness.place(user, Side.BUY, 1, limit=18_000, time_in_force=GTC)
    at(harness, kst(20, "09:00:10"))
    harness.tick(18_600, base=18_500)
    report = harness.match()

    assert report.jumps == 1
    assert harness.order(user, earlier.id).status == "CANCELLED"
    assert harness.order(user, later.id).status == "PENDING"


def test_base_price_without_a_recorded_close_is_no_jump(krx_harness: TradingHarness) -> None:
    harness = krx_harness
    at(harness, kst(20, "09:00:10"))
    harness.tick(20_100, base=20_000)
    assert harness.match().jumps == 0


def test_jump_is_reported_once_in_a_phase(krx_harness: TradingHarness) -> None:
    harness = krx_harness
    close_day_at(harness, 80_000)
    at(harness, kst(20, "09:00:10"))
    found = []
    for price in (20_100, 20_200):
        harness.tick(price, base=20_000)
        found.append(harness.match().jumps)
        harness.clock.advance(seconds=5)
    assert found == [1, 0]


def test_regime_of_the_stock_decides_what_a_jump_is(krx_harness: TradingHarness) -> None:
    """A base price at 150 % of the close is possible for a fund with leverage."""
    harness = krx_harness
    leverage = update(STOCKS).where(STOCKS.c.code == SAMSUNG).values(leverage_percent=200)
    harness.do(lambda session: session.execute(leverage))
    close_day_at(harness, 20_000)
    at(harness, kst(20, "09:00:10"))
    harness.tick(30_000, base=30_000)
    assert harness.match().jumps == 0


@pytest.mark.parametrize(
    ("base", "close", "rules", "jumped"),
    [
        (70_000, 70_000, LimitRules(), False),
        (91_000, 70_000, LimitRules(), False),
        (91_100, 70_000, LimitRules(), True),
        (49_000, 70_000, LimitRules(), False),
        (48_950, 70_000, LimitRules(), True),
        (20_000, 80_000, LimitRules(), True),
        (2_325, 1_163, LimitRules(), True),
        (1_160, 1_000, LimitRules(market="KONEX"), True),
        (32_000, 20_000, LimitRules(leverage_percent=-200), False),
        (32_005, 20_000, LimitRules(leverage_percent=-200), True),
        (180, 1_000, LimitRules(in_liquidation=True), False),
        (40_000, 10_000, LimitRules(listed_on=date(2026, 11, 20)), False),
    ],
)
def test_jump_is_beyond_the_limits_of_the_close(
    base: int, close: int, rules: LimitRules, jumped: bool
) -> None:
    assert has_jumped(base, close, rules, now=DAY) is jumped


@given(close=st.integers(1, 2_000_000))
def test_close_rounded_up_to_the_grid_is_never_a_jump(close: int) -> None:
    """The exchange computes the usual base price so."""
    assert not has_jumped(ceil_to_grid(close), close, LimitRules(), now=DAY)
