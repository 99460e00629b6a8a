"""The next step of an order: one row per situation."""

from dataclasses import replace

import pytest

from trading.exchange.order_types import Side, TimeInForce
from trading.orders.fill_price import Fill, TickEvidence
from trading.orders.model import EndReason, FillProfile
from trading.orders.routing import (
    Action,
    BookState,
    NextStep,
    OrderSituation,
    TradingBlock,
    next_step,
    trading_blocks,
)

DAY, GTC, IOC, FOK = TimeInForce
SIMPLE, VOLUME = FillProfile
ARRIVING, OUTSIDE, AWAITING, RESTING = BookState
LIMIT = 70_000

MET = TickEvidence(price=69_900, age_ms=10_000, session="REGULAR")
NOT_MET = replace(MET, price=70_100)
STALE = replace(MET, age_ms=10_001)
NO_SESSION = replace(MET, session=None)

FILL, REST, RETRY = Action.FILL, Action.REST, Action.RETRY
AWAIT, AWAIT_DEADLINE = Action.AWAIT_PRINT, Action.AWAIT_PRINT_UNTIL_DEADLINE
END = Action.END


def order(
    book_state: BookState,
    limit_price: int | None = LIMIT,
    time_in_force: TimeInForce = DAY,
    *,
    late: bool = False,
    matched: bool = False,
) -> OrderSituation:
    return OrderSituation(
        side=Side.BUY,
        limit_price=limit_price,
        time_in_force=time_in_force,
        book_state=book_state,
        has_waited_too_long=late,
        has_matched_fills=matched,
    )


def decide(
    situation: OrderSituation,
    last_trade: TickEvidence | None,
    profile: FillProfile,
    *blocks: TradingBlock,
) -> NextStep:
    return next_step(situation, last_trade, blocks=blocks, profile=profile, freshness_ms=10_000)


ROWS = [
    # An arriving order of the simple profile: executed at once, or put into the book.
    (SIMPLE, order(ARRIVING, None), MET, FILL),
    (SIMPLE, order(ARRIVING, None), None, AWAIT),
    (SIMPLE, order(ARRIVING, None), STALE, AWAIT),
    (SIMPLE, order(ARRIVING, None), NO_SESSION, AWAIT),
    (SIMPLE, order(ARRIVING), MET, FILL),
    (SIMPLE, order(ARRIVING, LIMIT, GTC), MET, FILL),
    (SIMPLE, order(ARRIVING), NOT_MET, REST),
    (SIMPLE, order(ARRIVING), STALE, AWAIT),
    (SIMPLE, order(ARRIVING), None, AWAIT),
    (SIMPLE, order(ARRIVING), NO_SESSION, AWAIT),
    (SIMPLE, order(ARRIVING, LIMIT, IOC), MET, FILL),
    (SIMPLE, order(ARRIVING, LIMIT, FOK), NOT_MET, END),
    (SIMPLE, order(ARRIVING, None, IOC), STALE, END),
    # A stored order outside the book is filled by the last trade, enters the book, or ends.
    (SIMPLE, order(OUTSIDE, None), MET, FILL),
    (SIMPLE, order(OUTSIDE, None), None, AWAIT),
    (SIMPLE, order(OUTSIDE, None, late=True), MET, FILL),
    (SIMPLE, order(OUTSIDE, LIMIT, IOC), MET, FILL),
    (SIMPLE, order(OUTSIDE, LIMIT, IOC), NOT_MET, END),
    (SIMPLE, order(OUTSIDE, LIMIT, FOK), None, END),
    (SIMPLE, order(OUTSIDE, LIMIT, IOC, late=True), MET, END),
    # A limit order in the book that awaits its first print.
    (SIMPLE, order(AWAITING), MET, FILL),
    (SIMPLE, order(AWAITING), NOT_MET, REST),
    (SIMPLE, order(AWAITING), STALE, AWAIT),
    (SIMPLE, order(AWAITING), None, AWAIT),
    # A resting order fills at its limit by a later print only.
    (SIMPLE, order(RESTING), MET, AWAIT),
    (SIMPLE, order(RESTING), NOT_MET, AWAIT),
    # By volume every order enters the book, and the last trade only shows whether it rests.
    (VOLUME, order(ARRIVING, None), MET, AWAIT),
    (VOLUME, order(ARRIVING, None), None, AWAIT),
    (VOLUME, order(ARRIVING), MET, AWAIT),
    (VOLUME, order(ARRIVING), STALE, AWAIT),
    (VOLUME, order(ARRIVING), NOT_MET, REST),
    (VOLUME, order(ARRIVING, LIMIT, IOC), MET, AWAIT_DEADLINE),
    (VOLUME, order(ARRIVING, LIMIT, FOK), NOT_MET, AWAIT_DEADLINE),
    (VOLUME, order(ARRIVING, None, IOC), None, AWAIT_DEADLINE),
    # By volume the last trade fills nothing that is in the book.
    (VOLUME, order(AWAITING), MET, AWAIT),
    (VOLUME, order(AWAITING), NOT_MET, AWAIT),
    (VOLUME, order(RESTING), MET, AWAIT),
    (VOLUME, order(AWAITING, LIMIT, IOC), MET, AWAIT_DEADLINE),
    (VOLUME, order(AWAITING, LIMIT, IOC, late=True), MET, END),
    # Accepted under the simple profile, executed under the other one.
    (VOLUME, order(OUTSIDE, None), MET, FILL),
    (VOLUME, order(OUTSIDE, None), STALE, AWAIT),
    (VOLUME, order(OUTSIDE, LIMIT, IOC), MET, END),
    # And the reverse.
    (SIMPLE, order(AWAITING, None), MET, FILL),
    (SIMPLE, order(AWAITING, LIMIT, FOK), NOT_MET, END),
]


@pytest.mark.parametrize(("profile", "situation", "last_trade", "expected"), ROWS)
def test_next_step_of_an_order(
    profile: FillProfile,
    situation: OrderSituation,
    last_trade: TickEvidence | None,
    expected: Action,
) -> None:
    step = decide(situation, last_trade, profile)
    assert step.action is expected
    assert step.reason is (EndReason.NOT_FILLED_AT_ONCE if expected is END else None)
    if expected is FILL:
        assert isinstance(step.last_trade, Fill)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ((TradingBlock.TRADING_HALTED,), RETRY),
        ((TradingBlock.STOCK_HALTED,), RETRY),
        ((TradingBlock.ACCOUNT_HALTED,), Action.RETRY_AFTER_ACCOUNT_HALT),
        ((TradingBlock.TRADING_HALTED, TradingBlock.ACCOUNT_HALTED), RETRY),
        ((TradingBlock.STOCK_DELISTED,), END),
        (tuple(TradingBlock), END),
    ],
)
@pytest.mark.parametrize("profile", FillProfile)
@pytest.mark.parametrize("matched", [False, True])
def test_a_block_comes_before_any_fill(
    blocks: tuple[TradingBlock, ...], expected: Action, profile: FillProfile, matched: bool
) -> None:
    step = decide(order(AWAITING, matched=matched), MET, profile, *blocks)
    # An order that may wait does so in the book, where the first print after the halt fills it.
    waits = expected is RETRY and not matched
    assert step.action is (AWAIT if waits else expected)
    assert step.reason is (EndReason.STOCK_NOT_TRADABLE if expected is END else None)


@pytest.mark.parametrize("profile", FillProfile)
@pytest.mark.parametrize("late", [False, True])
def test_matched_fills_are_recorded_before_the_last_trade_is_considered(
    profile: FillProfile, late: bool
) -> None:
    step = decide(order(OUTSIDE, LIMIT, IOC, late=late, matched=True), NOT_MET, profile)
    assert step == NextStep(Action.RECORD_MATCHED_FILLS)


@pytest.mark.parametrize(
    ("profile", "situation", "expected"),
    [
        (SIMPLE, order(OUTSIDE, None), False),
        (SIMPLE, order(AWAITING), False),
        (SIMPLE, order(RESTING), True),
        (VOLUME, order(AWAITING), True),
        (VOLUME, order(AWAITING, LIMIT, IOC, late=True), True),
        (VOLUME, order(OUTSIDE, LIMIT, IOC), False),
        (VOLUME, order(OUTSIDE, None), False),
    ],
)
def test_only_the_matcher_fills_resting_orders_and_all_orders_in_the_book_by_volume(
    profile: FillProfile, situation: OrderSituation, expected: bool
) -> None:
    assert decide(situation, MET, profile).only_by_matcher is expected


@pytest.mark.parametrize(
    ("stock_status", "expected"),
    [
        ("TRADABLE", ()),
        ("HALTED", (TradingBlock.STOCK_HALTED,)),
        ("DELISTED", (TradingBlock.STOCK_DELISTED,)),
    ],
)
def test_trading_blocks_by_stock_status(
    stock_status: str, expected: tuple[TradingBlock, ...]
) -> None:
    halts = (TradingBlock.TRADING_HALTED, TradingBlock.ACCOUNT_HALTED)
    for trading_halted, account_halted in ((False, False), (True, True)):
        found = trading_blocks(
            stock_status=stock_status,
            trading_halted=trading_halted,
            account_halted=account_halted,
        )
        assert found == (halts if trading_halted else ()) + expected
