"""Which trades fill orders: by the time at which they were traded, in auctions and over days."""

import itertools
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.support.properties import examples
from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, do, halt, resume
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.time import KST, trade_date
from trading.marketdata.ticks import Position, Tick
from trading.orders.records import OrderRecord
from trading.orders.tables import ORDER_EXECUTIONS, ORDERS
from trading.redis import keys

GTC = TimeInForce.GTC


def kst(day: int, clock: str) -> datetime:
    """Return a time of a day in November 2026 as UTC. The 20th is a Friday."""
    return datetime.fromisoformat(f"2026-11-{day} {clock}+09:00").astimezone(UTC)


def report(
    harness: TradingHarness,
    price: int,
    traded_at: datetime,
    *,
    base: int | None = None,
    volume: int = 1,
    exchange: str | None = None,
) -> Tick:
    """Write a trade that the feed reports now, whenever it was traded, as the relayer does."""
    tick = harness.tick(price, base=base, volume=volume)
    late = msgspec.structs.replace(tick, traded_at=traded_at, exchange=exchange)
    redis = harness.core.redis
    redis.set(keys.last_tick(SAMSUNG), late.to_json())
    redis.xdel(keys.TICK_STREAM, str(tick.position))
    # An entry of the stream cannot be replaced, so the trade is appended after it.
    late = msgspec.structs.replace(late, position=Position(tick.position.ms, tick.position.n + 1))
    redis.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: late.to_json()}, id=str(late.position))
    redis.set(keys.last_tick(SAMSUNG), late.to_json())
    harness._last_position = late.position
    return late


def at(harness: TradingHarness, moment: datetime) -> None:
    harness.clock.now = moment


def prices(harness: TradingHarness, user: UUID, order: OrderRecord) -> list[int]:
    """Run the matcher and all tasks. Return the prices of the order's fills (won)."""
    harness.match()
    harness.run_all()
    assert harness.breaches() == []
    return [one.price for one in harness.order(user, order.id).executions]


def test_market_order_is_not_filled_by_a_trade_of_an_earlier_day(
    krx_harness: TradingHarness,
) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(23, "09:00:01"))
    report(harness, 57_000, kst(20, "14:00"))
    order = harness.place(user, Side.BUY, 1)
    assert prices(harness, user, order) == []
    report(harness, 57_000, kst(20, "14:00"))
    assert prices(harness, user, order) == []
    harness.clock.advance(seconds=3)
    harness.tick(58_000)
    assert prices(harness, user, order) == [58_000]


def test_limit_order_is_not_filled_by_a_trade_from_before_its_acceptance(
    krx_harness: TradingHarness,
) -> None:
    """The relayer restarts, and the feed reports a trade of ten minutes ago."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "10:06"))
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    at(harness, kst(20, "10:10"))
    report(harness, 68_500, kst(20, "10:01"))
    assert prices(harness, user, order) == []
    report(harness, 68_700, kst(20, "10:09:59"))
    assert prices(harness, user, order) == [68_700]


def test_trade_just_before_the_acceptance_is_no_evidence(krx_harness: TradingHarness) -> None:
    """The feed's times are whole seconds: a trade of the same second may be later."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "10:06:00") + timedelta(milliseconds=400))
    order = harness.place(user, Side.BUY, 1, limit=69_000)
    harness.clock.advance(seconds=1)
    report(harness, 68_500, kst(20, "10:05:59"))
    assert prices(harness, user, order) == []
    report(harness, 68_600, kst(20, "10:06:00"))
    assert prices(harness, user, order) == [68_600]


@pytest.mark.parametrize(
    ("side", "limit", "opening"), [(Side.BUY, 70_000, 65_000), (Side.SELL, 75_000, 80_000)]
)
def test_resting_order_of_the_day_before_is_filled_at_the_opening_price(
    krx_harness: TradingHarness, side: Side, limit: int, opening: int
) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(19, "14:00"))
    harness.tick(72_000)
    bought(harness, user, 1)
    order = harness.place(user, side, 1, limit=limit, time_in_force=GTC)
    harness.tick(72_100)
    assert prices(harness, user, order) == []
    at(harness, kst(20, "09:00:10"))
    harness.tick(opening)
    harness.tick(72_000)
    assert prices(harness, user, order) == [opening]
    assert harness.order(user, order.id).executions[0].rule == "resting-at-auction"


def test_resting_order_that_the_opening_did_not_fill_is_filled_at_its_limit(
    krx_harness: TradingHarness,
) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(19, "14:00"))
    harness.tick(72_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000, time_in_force=GTC)
    at(harness, kst(20, "09:00:10"))
    harness.tick(71_000)
    assert prices(harness, user, order) == []
    harness.clock.advance(minutes=5)
    harness.tick(69_000)
    assert prices(harness, user, order) == [70_000]


def test_closing_auction_has_one_price(krx_harness: TradingHarness) -> None:
    """For resting, arriving and market orders. A second print at another price fills none."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "15:10"))
    harness.tick(71_000)
    early = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(70_500)
    assert prices(harness, user, early) == []
    at(harness, kst(20, "15:21"))
    market = harness.place(user, Side.BUY, 1)
    at(harness, kst(20, "15:25"))
    late = harness.place(user, Side.BUY, 1, limit=70_000)
    deep = harness.place(user, Side.BUY, 1, limit=69_000)
    at(harness, kst(20, "15:30:05"))
    harness.tick(69_500)
    harness.tick(68_000)
    for order in (early, late, market):
        assert prices(harness, user, order) == [69_500]
    assert prices(harness, user, deep) == []


def test_order_outside_the_limits_of_a_new_day_ends(krx_harness: TradingHarness) -> None:
    """The base price falls from 80,000 to 20,000: only 14,000 to 26,000 won are legal."""
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(19, "14:00"))
    harness.tick(82_000, base=80_000)
    bought(harness, user, 3)
    above = harness.place(user, Side.BUY, 1, limit=80_000, time_in_force=GTC)
    sale = harness.place(user, Side.SELL, 1, limit=83_000, time_in_force=GTC)
    harness.tick(82_100, base=80_000)
    assert prices(harness, user, above) == []
    at(harness, kst(20, "09:00:10"))
    inside = harness.place(user, Side.BUY, 1, limit=20_500, time_in_force=GTC)
    harness.tick(20_100, base=20_000)
    assert prices(harness, user, above) == prices(harness, user, sale) == []
    for order in (above, sale):
        ended = harness.order(user, order.id)
        assert (ended.status, ended.reason) == ("CANCELLED", "price-out-of-limits")
    assert prices(harness, user, inside) == [20_100]


@pytest.mark.parametrize("accepted", ["08:40", "15:19:20", "15:21"])
def test_market_order_is_filled_at_the_price_of_the_next_auction(
    krx_harness: TradingHarness, accepted: str
) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "10:00"))
    harness.tick(70_000)
    bought(harness, user, 1)
    day = 23 if accepted == "08:40" else 20
    at(harness, kst(day, accepted))
    order = harness.place(user, Side.SELL, 1)
    assert prices(harness, user, order) == []
    at(harness, kst(day, "09:00:05" if accepted == "08:40" else "15:30:10"))
    harness.tick(69_300)
    assert prices(harness, user, order) == [69_300]


def test_market_buy_reserves_at_most_the_upper_limit(krx_harness: TradingHarness) -> None:
    """With 10,000,000 won and the last trade at the upper limit of 13,000."""
    harness, user = krx_harness, krx_harness.user()
    harness.tick(13_000, base=10_000)
    order = harness.place(user, Side.BUY, 769)
    assert order.reserved_cash == 769 * 13_000 + 769 * 13_000 * 15 // 100_000


def test_first_print_after_a_halt_is_one_price_for_all(krx_harness: TradingHarness) -> None:
    harness, user = krx_harness, krx_harness.user()
    at(harness, kst(20, "10:00"))
    harness.tick(72_000)
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    harness.tick(72_000)
    assert prices(harness, user, order) == []
    halt(harness, user)
    harness.clock.advance(minutes=1)
    harness.tick(60_000)
    assert prices(harness, user, order) == []
    resume(harness, user)
    harness.clock.advance(seconds=5)
    report(harness, 66_000, kst(20, "10:00:30"))
    harness.tick(65_000)
    assert prices(harness, user, order) == [65_000]


def test_trade_that_the_matcher_passed_before_the_commit_fills_the_order(
    krx_harness: TradingHarness,
) -> None:
    """The order's transaction reads the end of the stream, and a matcher runs before its COMMIT."""
    harness, user = krx_harness, krx_harness.user()
    harness.tick(71_000)
    harness.match()
    order = harness.place(user, Side.BUY, 1, limit=70_000)
    hidden = ORDERS.update().where(ORDERS.c.id == order.id)
    do(harness, lambda session: session.execute(hidden.values(is_new_in_book=False, book_price=None,
        next_attempt_at=harness.clock() + timedelta(days=1))))  # fmt: skip
    harness.tick(69_900)
    harness.tick(69_500)
    harness.match()
    do(harness, lambda session: session.execute(hidden.values(is_new_in_book=True,
        book_price=70_000, next_attempt_at=None)))  # fmt: skip
    harness.tick(69_000)
    harness.match()
    harness.run_all()
    (fill,) = harness.order(user, order.id).executions
    assert (fill.price, fill.tick_price) == (70_000, 69_900)


REPORTS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 2, 600, 86_400]),
        st.integers(60, 80).map(lambda thousand: thousand * 1_000),
        st.sampled_from(["trade", "trade", "buy", "sell", "market"]),
    ),
    min_size=1,
    max_size=25,
)


@given(reports=REPORTS)
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_fill_rests_on_a_trade_from_before_the_acceptance_or_of_another_day(
    harness: TradingHarness, reports: list[tuple[int, int, str]]
) -> None:
    """Trades are reported late and in any order; fills at the last trade need a fresh one."""
    harness.core.redis.flushall()
    harness.clock.now = max(harness.clock.now, kst(20, "09:30")) + timedelta(days=7)
    harness.clock.now = harness.clock.now.replace(hour=1, minute=0)
    user = harness.user()
    for (late_s, price, step), seconds in zip(reports, itertools.cycle((1, 4, 30)), strict=False):
        harness.clock.advance(seconds=seconds)
        if step == "trade":
            report(harness, price, harness.clock() - timedelta(seconds=late_s))
        elif step == "market":
            harness.tick(price)
            harness.place(user, Side.BUY, 1)
        else:
            harness.place(user, Side.BUY, 1, limit=price)
        harness.match()
        harness.run_all()
    assert harness.breaches() == []
    fills = do(
        harness,
        lambda session: session.execute(
            select(
                ORDERS.c.accepted_at,
                ORDER_EXECUTIONS.c.rule,
                ORDER_EXECUTIONS.c.tick_traded_at,
                ORDER_EXECUTIONS.c.executed_at,
            )
            .join(ORDERS, ORDERS.c.id == ORDER_EXECUTIONS.c.order_id)
            .where(ORDERS.c.user_id == user)
        ).all(),
    )
    for accepted_at, rule, traded_at, executed_at in fills:
        if rule.endswith("last-trade"):
            assert executed_at - traded_at <= timedelta(seconds=10)
        else:
            assert traded_at + timedelta(seconds=1) > accepted_at
            assert traded_at.date() == executed_at.date()


def next_monday(harness: TradingHarness) -> datetime:
    """Return 10:00 of the next Monday with usual hours on it and on the Tuesday after it."""
    hours = harness.core.market_hours()
    usual = {
        (one.session, one.opens_at - kst(20, "00:00")) for one in hours.spans(date(2026, 11, 20))
    }
    monday = max(harness.clock(), kst(20, "10:00"))
    while True:
        monday += timedelta(days=7 - (monday + timedelta(hours=9)).weekday())
        monday = monday.replace(hour=1, minute=0, second=0, microsecond=0)
        days = [trade_date(monday), trade_date(monday + timedelta(days=1))]
        if all(
            {
                (one.session, one.opens_at - datetime.combine(day, time(), KST))
                for one in hours.spans(day)
            }
            == usual
            for day in days
        ):
            return monday


AUCTION_ORDERS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.none() | st.integers(640, 760).map(lambda hundreds: hundreds * 100),
        st.sampled_from(["before", "in"]),
        st.sampled_from([TimeInForce.DAY, GTC]),
    ),
    min_size=1,
    max_size=12,
)


@given(
    orders=AUCTION_ORDERS,
    price=st.integers(640, 760).map(lambda hundreds: hundreds * 100),
    closing=st.booleans(),
)
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_all_fills_of_an_auction_have_its_price(
    krx_harness: TradingHarness,
    orders: list[tuple[Side, int | None, str, TimeInForce]],
    price: int,
    closing: bool,
) -> None:
    """Orders placed before the closing or opening auction and in it. Those that the result meets
    are filled at it, and no others. Before the auction an order rests only beyond the last price.
    """
    harness = krx_harness
    harness.core.redis.flushall()
    monday = next_monday(harness)
    at(harness, monday)
    user = harness.user()
    harness.tick(70_000)
    bought(harness, user, 20)
    before, within, result = (
        (timedelta(hours=5, minutes=10), timedelta(hours=5, minutes=22), timedelta(hours=5.5))
        if closing
        else (timedelta(hours=5, minutes=10), timedelta(hours=22.7), timedelta(hours=23))
    )
    at(harness, monday + before)
    harness.tick(70_000)
    placed: list[tuple[OrderRecord, bool]] = []
    for when, moment in (("before", before), ("in", within)):
        at(harness, monday + moment)
        for side, limit, wanted, time_in_force in orders:
            rests = limit is not None and (limit < 70_000 if side is Side.BUY else limit > 70_000)
            if wanted != when or (when == "before" and not rests):
                continue
            tif = GTC if when == "before" and not closing else time_in_force
            order = harness.place(
                user, side, 1, limit=limit, time_in_force=TimeInForce.DAY if limit is None else tif
            )
            met = limit is None or (price <= limit if side is Side.BUY else price >= limit)
            placed.append((order, met))
        harness.match()
        harness.run_all()
    at(harness, monday + result + timedelta(seconds=10))
    harness.tick(price)
    harness.match()
    harness.run_all()

    assert harness.breaches() == []
    for order, met in placed:
        fills = [one.price for one in harness.order(user, order.id).executions]
        assert fills == ([price] if met else []), (order, price)
