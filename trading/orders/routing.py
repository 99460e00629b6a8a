"""What happens to an open order next: the one decision of acceptance, execution and explanation.

Pure: no I/O and no clock. Callers read the rows and the last trade and pass them as values.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side, TimeInForce
from trading.exchange.price_grid import StockKind
from trading.halts.records import HaltRecord
from trading.marketdata.ticks import Tick
from trading.orders.fill_price import (
    Fill,
    Postponement,
    TickEvidence,
    fill_at_last_trade,
    is_within_order_life,
)
from trading.orders.model import EndReason, FillProfile
from trading.stocks.model import StockStatus


class BookState(StrEnum):
    """An order's place in relation to the order book."""

    ARRIVING = "arriving"
    """Being accepted, not stored yet."""
    OUTSIDE = "outside"
    """Stored, but not in the book: only the last trade can fill it."""
    AWAITING_FIRST_PRINT = "awaiting-first-print"
    """In the book; no print has shown yet whether the order is marketable."""
    RESTING = "resting"
    """In the book, at its limit or better only."""


class TradingBlock(StrEnum):
    """A reason why nothing fills an order at present, whatever the market does."""

    TRADING_HALTED = "trading-halted"
    ACCOUNT_HALTED = "account-halted"
    STOCK_HALTED = "stock-halted"
    STOCK_DELISTED = "stock-delisted"


class Action(StrEnum):
    """What to do with an order."""

    RECORD_MATCHED_FILLS = "record-matched-fills"
    """Execute the fills that the matcher found."""
    FILL = "fill"
    """Fill at the last trade."""
    REST = "rest"
    """Put into or keep in the book; the last trade showed that the order is not marketable."""
    AWAIT_PRINT = "await-print"
    """Put into or keep in the book until a print fills the order."""
    AWAIT_PRINT_UNTIL_DEADLINE = "await-print-until-deadline"
    """As AWAIT_PRINT, but end the order once a tick from its acceptance would be stale."""
    RETRY = "retry"
    """Decide again later, with a back-off."""
    RETRY_AFTER_ACCOUNT_HALT = "retry-after-account-halt"
    """Decide again when the halt of the account is lifted, which dispatches the order."""
    END = "end"
    """End the order, for the reason of the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSituation:
    """The facts of an order that decide its next step.

    ``has_waited_too_long`` is True once a tick received at the acceptance would be stale: an order
    that may not wait (IOC, FOK) ends then. ``has_matched_fills`` is True while fills that the
    matcher found are not recorded.
    """

    side: Side
    limit_price: int | None
    time_in_force: TimeInForce
    book_state: BookState
    has_waited_too_long: bool = False
    has_matched_fills: bool = False

    @classmethod
    def of_stored_order(
        cls,
        *,
        side: str,
        limit_price: int | None,
        time_in_force: str,
        book_price: int | None,
        awaiting_first_print: bool,
        accepted_at: datetime,
        has_matched_fills: bool,
        freshness_ms: int,
        now: datetime,
    ) -> Self:
        """Return the situation of an order from its columns."""
        if book_price is None:
            book_state = BookState.OUTSIDE
        elif awaiting_first_print:
            book_state = BookState.AWAITING_FIRST_PRINT
        else:
            book_state = BookState.RESTING
        return cls(
            side=Side(side),
            limit_price=limit_price,
            time_in_force=TimeInForce(time_in_force),
            book_state=book_state,
            has_waited_too_long=now - accepted_at >= timedelta(milliseconds=freshness_ms),
            has_matched_fills=has_matched_fills,
        )

    def is_in_book(self, profile: FillProfile) -> bool:
        """Return True if the order is in the book, or enters it by its acceptance.

        With ``FillProfile.VOLUME`` every arriving order enters the book, because only what is
        traded after its acceptance counts. With ``SIMPLE`` an order that may wait enters it.
        """
        if self.book_state is BookState.ARRIVING:
            return profile is FillProfile.VOLUME or self.time_in_force.may_wait
        return self.book_state is not BookState.OUTSIDE


@dataclass(frozen=True, slots=True)
class NextStep:
    """The decision about an order.

    ``reason`` is set for Action.END. ``last_trade`` is what the last trade alone would do, None
    where it was not considered. ``only_by_matcher`` is True if no execution at the last trade is
    possible: only the matcher can fill the order, by a later print.
    """

    action: Action
    reason: EndReason | None = None
    last_trade: Fill | Postponement | None = None
    only_by_matcher: bool = False


def trading_blocks(
    *, stock_status: str, trading_halted: bool, account_halted: bool
) -> tuple[TradingBlock, ...]:
    """Return everything that blocks an order now; empty if it may be filled."""
    blocks = []
    if trading_halted:
        blocks.append(TradingBlock.TRADING_HALTED)
    if account_halted:
        blocks.append(TradingBlock.ACCOUNT_HALTED)
    if stock_status == StockStatus.HALTED:
        blocks.append(TradingBlock.STOCK_HALTED)
    elif stock_status != StockStatus.TRADABLE:
        blocks.append(TradingBlock.STOCK_DELISTED)
    return tuple(blocks)


def last_trade_evidence(
    tick: Tick,
    *,
    time_in_force: TimeInForce,
    accepted_at: datetime,
    kind: StockKind,
    hours: MarketHours,
    halts: Sequence[HaltRecord],
    stock_resumed_at: datetime | None,
    now: datetime,
) -> TickEvidence:
    """Return what the last trade proves for a stored order.

    Its session is None, so that it fills nothing, if it was traded before the end of a halt or
    after the order's day, or was printed outside the sessions that fill orders. Its age counts from
    the trade where the feed reported it late. ``stock_resumed_at`` is the end of the stock's latest
    halt.
    """
    session = None
    is_within_life = is_within_order_life(
        hours, time_in_force, accepted_at=accepted_at, traded_at=tick.traded_at
    )
    # The first print after a halt sets a new price, so trades from before its end do not count.
    halted = any(
        halt.is_active_at(tick.received_at) or _is_before_end(tick, halt) for halt in halts
    ) or (stock_resumed_at is not None and tick.traded_before <= stock_resumed_at)
    if is_within_life and not halted:
        session = hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=kind)
    return TickEvidence(price=tick.price, age_ms=tick.age_ms(now), session=session)


def _is_before_end(tick: Tick, halt: HaltRecord) -> bool:
    return halt.resumed_at is None or tick.traded_before <= halt.resumed_at


def next_step(
    order: OrderSituation,
    last_trade: TickEvidence | None,
    *,
    blocks: Collection[TradingBlock] = (),
    profile: FillProfile,
    freshness_ms: int,
) -> NextStep:
    """Decide whether an order is filled now, rests, awaits a print, is retried later, or ends.

    ``last_trade`` is the evidence of the stock's last tick, None if there is none. A tick older
    than ``freshness_ms`` fills nothing.
    """
    if TradingBlock.STOCK_DELISTED in blocks:
        return NextStep(Action.END, EndReason.STOCK_NOT_TRADABLE)
    if TradingBlock.TRADING_HALTED in blocks or TradingBlock.STOCK_HALTED in blocks:
        # The first print after the halt fills an order in the book without delay.
        waits_in_book = order.time_in_force.may_wait and not order.has_matched_fills
        return NextStep(Action.AWAIT_PRINT if waits_in_book else Action.RETRY)
    if TradingBlock.ACCOUNT_HALTED in blocks:
        return NextStep(Action.RETRY_AFTER_ACCOUNT_HALT)
    if order.has_matched_fills:
        return NextStep(Action.RECORD_MATCHED_FILLS)
    decision = fill_at_last_trade(
        order.side, order.limit_price, last_trade, freshness_ms=freshness_ms
    )
    if profile is FillProfile.VOLUME and (
        order.is_in_book(profile) or not order.time_in_force.may_wait
    ):
        return _step_by_volume(order, decision)
    return _step_by_last_trade(order, decision)


def _step_by_volume(order: OrderSituation, decision: Fill | Postponement) -> NextStep:
    """Only a print after the acceptance fills the order, and the matcher finds those."""
    in_book = order.is_in_book(FillProfile.VOLUME)
    if order.time_in_force.may_wait:
        rests = order.book_state is BookState.ARRIVING and decision is Postponement.PRICE_NOT_MET
        action = Action.REST if rests else Action.AWAIT_PRINT
        return NextStep(action, last_trade=decision, only_by_matcher=True)
    if in_book and not order.has_waited_too_long:
        return NextStep(
            Action.AWAIT_PRINT_UNTIL_DEADLINE, last_trade=decision, only_by_matcher=True
        )
    return NextStep(
        Action.END, EndReason.NOT_FILLED_AT_ONCE, last_trade=decision, only_by_matcher=in_book
    )


def _step_by_last_trade(order: OrderSituation, decision: Fill | Postponement) -> NextStep:
    """The last trade fills the order, unless a print has already shown that it rests."""
    if order.book_state is BookState.RESTING:
        return NextStep(Action.AWAIT_PRINT, last_trade=decision, only_by_matcher=True)
    if not order.time_in_force.may_wait and (
        order.has_waited_too_long or isinstance(decision, Postponement)
    ):
        return NextStep(Action.END, EndReason.NOT_FILLED_AT_ONCE, last_trade=decision)
    if isinstance(decision, Fill):
        return NextStep(Action.FILL, last_trade=decision)
    action = Action.REST if decision is Postponement.PRICE_NOT_MET else Action.AWAIT_PRINT
    return NextStep(action, last_trade=decision)
