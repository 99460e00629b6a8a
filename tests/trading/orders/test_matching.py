"""Matching rules: examples for each rule, and properties for any book and any trades."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.order_types import Side, TimeInForce
from trading.orders.fill_price import FillRule, apply_slippage, is_met
from trading.orders.matching import BookOrder, MatchResult, Print, match_by_volume, match_whole

NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
NO_SLIP = partial(apply_slippage, ticks=0, kind="STOCK", limits=None)
ONE_STEP = partial(apply_slippage, ticks=1, kind="STOCK", limits=None)


def order(
    number: int, side: Side, limit: int | None, quantity: int = 10, **more: object
) -> BookOrder:
    standard = {
        "position": 0,
        "accepted_at": NOON,
        "awaiting_first_print": False,
        "time_in_force": TimeInForce.GTC,
    }
    return BookOrder(
        id=UUID(int=number), side=side, limit_price=limit, quantity=quantity, **standard | more
    )


def prints(*trades: tuple[int, int]) -> list[Print]:
    """Return trades of (price, volume) at the positions 1, 2, 3 …"""
    return [
        Print(position, price, volume, "REGULAR", LATER)
        for position, (price, volume) in enumerate(trades, start=1)
    ]


def fills(matching: MatchResult) -> list[tuple[int, int, int, int]]:
    """Return order number, quantity, price and trade position of each fill."""
    return [
        (fill.order_id.int, fill.quantity, fill.price, fill.trade.position)
        for fill in matching.fills
    ]


@pytest.mark.parametrize(
    ("side", "prices", "filled_by"),
    [
        (Side.BUY, [70_100, 70_000, 69_900], 2),
        (Side.BUY, [70_100, 69_000, 70_000], 2),
        (Side.BUY, [70_100, 70_200], None),
        (Side.SELL, [69_900, 70_000, 70_100], 2),
        (Side.SELL, [69_900, 75_000], 2),
        (Side.SELL, [69_900], None),
    ],
)
def test_resting_order_is_filled_at_its_limit_by_the_first_trade_that_meets_it(
    side: Side, prices: list[int], filled_by: int | None
) -> None:
    """Also by a trade beyond the limit: the order would have been met at its limit first."""
    matching = match_whole([order(1, side, 70_000)], prints(*[(price, 1) for price in prices]))
    assert fills(matching) == ([] if filled_by is None else [(1, 10, 70_000, filled_by)])
    assert all(fill.rule is FillRule.RESTING_AT_LIMIT for fill in matching.fills)
    assert matching.filled == ({UUID(int=1)} if filled_by else set())


@pytest.mark.parametrize("matched", [match_whole, partial(match_by_volume, slip=NO_SLIP)])
def test_trade_at_or_before_its_position_never_fills_an_order(
    matched: partial[MatchResult],
) -> None:
    trades = prints((60_000, 5), (60_000, 5), (80_000, 5))
    assert matched([order(1, Side.BUY, 70_000, position=2)], trades).fills == []
    assert matched([order(1, Side.BUY, 70_000, 5, position=1)], trades).fills[0].trade.position == 2


def test_arriving_order_is_filled_at_the_first_trades_price_or_rests() -> None:
    awaiting_first_print = order(1, Side.SELL, 60_000, awaiting_first_print=True)
    opening = match_whole([awaiting_first_print], prints((70_500, 1), (59_000, 1)))
    assert fills(opening) == [(1, 10, 70_500, 1)]
    assert opening.fills[0].rule is FillRule.ARRIVING_AT_PRINT

    rested = match_whole([awaiting_first_print], prints((59_900, 1), (61_000, 1)))
    assert fills(rested) == [(1, 10, 60_000, 2)]
    assert (rested.fills[0].rule, rested.resting) == (FillRule.RESTING_AT_LIMIT, {UUID(int=1)})

    waits = match_whole([awaiting_first_print], prints((59_900, 1)))
    assert (waits.fills, waits.resting) == ([], {UUID(int=1)})


def test_volume_is_shared_by_price_and_then_by_time() -> None:
    """25 shares are sold: to the best bid first, then to the earlier of two equal ones."""
    book = [
        order(1, Side.BUY, 70_000, position=2),
        order(2, Side.BUY, 70_000, position=1),
        order(3, Side.BUY, 70_100, position=3),
        order(4, Side.SELL, 69_000, 40),
    ]
    matching = match_by_volume(book, [Print(9, 70_000, 25, "REGULAR", LATER)], slip=NO_SLIP)
    assert fills(matching) == [
        (3, 10, 70_100, 9),
        (2, 10, 70_000, 9),
        (1, 5, 70_000, 9),
        (4, 25, 69_000, 9),
    ]
    assert matching.filled == {UUID(int=2), UUID(int=3)}


def test_market_orders_come_first_and_pay_slippage() -> None:
    book = [
        order(1, Side.BUY, 80_000),
        order(2, Side.BUY, None, position=5),
        order(3, Side.SELL, None),
    ]
    matching = match_by_volume(book, [Print(9, 70_000, 12, "REGULAR", LATER)], slip=ONE_STEP)
    assert fills(matching) == [(2, 10, 70_100, 9), (1, 2, 80_000, 9), (3, 10, 69_900, 9)]
    assert matching.fills[0].rule is FillRule.MARKET_AT_PRINT


def test_partly_filled_arriving_order_keeps_taking_the_market_price() -> None:
    """While trades meet its limit; once one does not, it rests and gets its limit."""
    awaiting_first_print = order(1, Side.BUY, 70_000, 30, awaiting_first_print=True)
    matching = match_by_volume(
        [awaiting_first_print],
        prints((69_500, 10), (69_700, 5), (70_100, 50), (69_000, 99)),
        slip=NO_SLIP,
    )
    assert fills(matching) == [(1, 10, 69_500, 1), (1, 5, 69_700, 2), (1, 15, 70_000, 4)]
    assert matching.filled == {UUID(int=1)}


@pytest.mark.parametrize(
    ("time_in_force", "trades", "filled"),
    [
        (TimeInForce.IOC, [(70_000, 4), (70_000, 99)], 4),
        (TimeInForce.IOC, [(70_100, 99), (70_000, 99)], 0),
        (TimeInForce.FOK, [(70_000, 9), (70_000, 99)], 0),
        (TimeInForce.FOK, [(70_000, 10)], 10),
    ],
)
def test_ioc_and_fok_orders_get_one_attempt(
    time_in_force: TimeInForce, trades: list[tuple[int, int]], filled: int
) -> None:
    """The first trade after the acceptance decides: IOC takes what it gets, FOK all or nothing."""
    matching = match_by_volume(
        [order(1, Side.BUY, 70_000, awaiting_first_print=True, time_in_force=time_in_force)],
        prints(*trades),
        slip=NO_SLIP,
    )
    assert sum(fill.quantity for fill in matching.fills) == filled
    assert matching.attempted == {UUID(int=1)}


@pytest.mark.parametrize("matched", [match_whole, partial(match_by_volume, slip=NO_SLIP)])
@pytest.mark.parametrize(("accepted_s", "filled"), [(-1, True), (0, False), (20, False)])
def test_auction_result_fills_only_orders_that_took_part(
    matched: partial[MatchResult], accepted_s: int, filled: bool
) -> None:
    """Printed half a minute after the auction closed, it neither fills a later order nor shows
    whether it rests.
    """
    result = Print(9, 70_000, 99, "CLOSING_AUCTION", LATER, auction_until=NOON, closed_at=NOON)
    came = order(
        1,
        Side.BUY,
        60_000 if not filled else 70_000,
        accepted_at=NOON + timedelta(seconds=accepted_s),
        awaiting_first_print=True,
    )
    matching = matched([came], [result])
    assert (bool(matching.fills), matching.resting) == (filled, set())


@pytest.mark.parametrize("matched", [match_whole, partial(match_by_volume, slip=ONE_STEP)])
@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [(Side.BUY, 70_000, 65_000), (Side.SELL, 75_000, 80_000), (Side.BUY, None, 65_000)],
)
def test_auction_gives_all_its_orders_one_price(
    matched: partial[MatchResult], side: Side, limit: int | None, price: int
) -> None:
    """A resting order gets the auction's price, and a market order pays no slippage."""
    result = Print(9, price, 99, "REGULAR", LATER, auction_until=NOON)
    before = NOON - timedelta(hours=1)
    book = [
        order(1, side, limit, accepted_at=before),
        order(2, side, limit, accepted_at=before, awaiting_first_print=True),
        order(3, side, limit, accepted_at=NOON, awaiting_first_print=True),
    ]
    matching = matched(book, [result])
    assert {(fill.order_id.int, fill.price) for fill in matching.fills} == {
        (1, price),
        (2, price),
        (3, price),
    }


@pytest.mark.parametrize("matched", [match_whole, partial(match_by_volume, slip=NO_SLIP)])
def test_order_that_rested_after_the_auction_keeps_its_limit(matched: partial[MatchResult]) -> None:
    result = Print(9, 69_000, 99, "REGULAR", LATER, auction_until=NOON)
    matching = matched([order(1, Side.BUY, 70_000, accepted_at=NOON)], [result])
    assert [(fill.price, fill.rule) for fill in matching.fills] == [
        (70_000, FillRule.RESTING_AT_LIMIT)
    ]


@pytest.mark.parametrize("matched", [match_whole, partial(match_by_volume, slip=NO_SLIP)])
def test_trade_made_before_the_acceptance_neither_fills_nor_shows_that_an_order_rests(
    matched: partial[MatchResult],
) -> None:
    """Even if the feed reported it after the acceptance."""
    late = Print(9, 68_500, 99, "REGULAR", traded_before=NOON)
    later = Print(10, 69_500, 99, "REGULAR", traded_before=NOON + timedelta(microseconds=1))
    came = order(1, Side.BUY, 69_000, accepted_at=NOON, awaiting_first_print=True)
    assert matched([came], [late]) == MatchResult()
    assert matched([came], [late, later]).resting == {UUID(int=1)}


ORDERS = st.builds(
    BookOrder,
    id=st.uuids(version=4),
    side=st.sampled_from(Side),
    limit_price=st.none() | st.integers(90, 110),
    quantity=st.integers(1, 50),
    position=st.integers(0, 12),
    accepted_at=st.just(NOON),
    awaiting_first_print=st.booleans(),
    time_in_force=st.sampled_from(TimeInForce),
)
BOOKS = st.lists(ORDERS, max_size=12, unique_by=lambda one: one.id)
TRADES = st.lists(st.tuples(st.integers(90, 110), st.integers(1, 60)), max_size=12).map(
    lambda some: prints(*some)
)


def check_each_fill(book: list[BookOrder], matching: MatchResult) -> None:
    """Assert that no fill is by an earlier trade, beyond the limit or above the quantity."""
    by_id = {one.id: one for one in book}
    for fill in matching.fills:
        one = by_id[fill.order_id]
        assert fill.trade.position > one.position
        assert fill.quantity > 0
        assert is_met(one.side, one.limit_price, fill.trade.price)
        assert is_met(one.side, one.limit_price, fill.price)
        assert one.limit_price is None or fill.price in (fill.trade.price, one.limit_price)
    for one in book:
        filled = sum(fill.quantity for fill in matching.fills if fill.order_id == one.id)
        assert filled <= one.quantity
        assert (one.id in matching.filled) == (filled == one.quantity)


@given(BOOKS, TRADES)
def test_simple_profile_fills_every_met_order_completely_and_once(
    book: list[BookOrder], trades: list[Print]
) -> None:
    matching = match_whole(book, trades)
    check_each_fill(book, matching)
    for one in book:
        met = any(
            trade.position > one.position and is_met(one.side, one.limit_price, trade.price)
            for trade in trades
        )
        assert (one.id in matching.filled) == met


@given(BOOKS, TRADES, st.integers(0, 12))
def test_two_runs_find_the_same_as_one(
    book: list[BookOrder], trades: list[Print], cut: int
) -> None:
    """Wherever the stream is cut between two runs."""
    first = match_whole(book, trades[:cut])
    rest = [
        replace(one, awaiting_first_print=one.awaiting_first_print and one.id not in first.resting)
        for one in book
        if one.id not in first.filled
    ]
    second = match_whole(rest, trades[cut:])
    whole = match_whole(book, trades)
    assert sorted(fills(first) + fills(second)) == sorted(fills(whole))


@given(BOOKS, TRADES)
def test_volume_profile_never_exceeds_the_traded_volume_and_respects_priority(
    book: list[BookOrder], trades: list[Print]
) -> None:
    matching = match_by_volume(book, trades, slip=NO_SLIP)
    check_each_fill(book, matching)
    by_id = {one.id: one for one in book}
    for trade in trades:
        for side in Side:
            given_out = [
                fill
                for fill in matching.fills
                if fill.trade is trade and by_id[fill.order_id].side is side
            ]
            assert sum(fill.quantity for fill in given_out) <= trade.volume
            priorities = [by_id[fill.order_id].priority for fill in given_out]
            assert priorities == sorted(priorities)


@given(BOOKS, TRADES)
def test_volume_profile_fills_only_what_the_simple_profile_fills(
    book: list[BookOrder], trades: list[Print]
) -> None:
    """For orders that may rest, because the others get one attempt."""
    waiting = [replace(one, time_in_force=TimeInForce.GTC) for one in book]
    by_volume = match_by_volume(waiting, trades, slip=NO_SLIP)
    assert {fill.order_id for fill in by_volume.fills} <= match_whole(waiting, trades).filled
