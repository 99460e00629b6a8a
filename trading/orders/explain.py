"""Explain an order: the evidence for its fills, and what an open order waits for.

The rows are from one snapshot of the database, the last trade is from Redis. The explanation
applies the same rules as order execution.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.exchange.fees import tax_rates
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.price_grid import Market, StockKind
from trading.exchange.time import trade_date
from trading.halts.queries import ACCOUNT_HALTED_SINCE, halts_since
from trading.halts.records import HaltRecord
from trading.marketdata.sharding import shard_of
from trading.marketdata.ticks import Tick
from trading.money import rate_rounded_down
from trading.orders.fill_price import Fill, is_met, is_within_order_life
from trading.orders.limit_distance import Distance, distance_to_limit
from trading.orders.model import FillProfile, OrderStatus
from trading.orders.queries import get_order
from trading.orders.records import ExecutionRecord, OrderRecord
from trading.orders.routing import (
    Action,
    NextStep,
    OrderSituation,
    last_trade_evidence,
    next_step,
    trading_blocks,
)
from trading.orders.tables import MATCH_CURSORS, ORDERS, PENDING_FILLS
from trading.redis.keys import TICK_TTL_S
from trading.stocks.tables import STOCKS

_MILLISECOND = timedelta(milliseconds=1)


class WaitingReason(StrEnum):
    """Why an open order is not filled now. Several reasons may apply at once."""

    TRADING_HALTED = "trading-halted"
    ACCOUNT_HALTED = "account-halted"
    STOCK_HALTED = "stock-halted"
    STOCK_DELISTED = "stock-delisted"
    DAY_ENDED = "day-ended"
    CLOSED_SESSION = "closed-session"
    MARKET_UNAVAILABLE = "market-unavailable"
    NO_TICK = "no-tick"
    STALE_FEED = "stale-feed"
    PRICE_NOT_MET = "price-not-met"
    PRINT_OUTSIDE_SESSION = "print-outside-session"
    PRINT_DURING_HALT = "print-during-halt"
    PRINT_BEFORE_ACCEPTANCE = "print-before-acceptance"
    AWAITING_MATCH = "awaiting-match"
    NOT_REACHED = "not-reached"
    BEING_EXECUTED = "being-executed"
    PROCESSING_DELAYED = "processing-delayed"


# While workers run, due work waits for seconds at most. An idle matcher records a scan every five
# seconds.
DELAYED_AFTER = timedelta(seconds=15)

_ABOUT_TO_FILL = (WaitingReason.AWAITING_MATCH, WaitingReason.BEING_EXECUTED)


class OrderStage(StrEnum):
    """Where an open order is: in the book, waiting for a trade, or about to be executed by a
    worker.
    """

    IN_BOOK = "in-book"
    IN_EXECUTION = "in-execution"


class ChargeName(StrEnum):
    COMMISSION = "commission"
    TRANSACTION_TAX = "transaction-tax"
    RURAL_TAX = "rural-tax"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """An order with its related rows in the database.

    ``halts`` are the halts during which the last trade may have been received. ``matched_until`` is
    the position in the tick stream up to which the stock's matcher has read, and ``matched_at``
    when it had read all. ``has_pending_fills`` is True if the matcher found a fill that is not
    executed yet.
    """

    order: OrderRecord
    market: Market
    kind: StockKind
    stock_status: str
    stock_resumed_at: datetime | None
    accepted_position: int
    book_price: int | None
    next_attempt_at: datetime | None
    awaiting_first_print: bool
    has_pending_fills: bool
    account_halted: bool
    halts: Sequence[HaltRecord]
    matched_until: int
    matched_at: datetime | None

    @property
    def is_open(self) -> bool:
        return OrderStatus(self.order.status).is_open

    @property
    def halted_since(self) -> datetime | None:
        return next((halt.halted_at for halt in self.halts if halt.is_running), None)


@dataclass(frozen=True, slots=True)
class Charge:
    """A part of a fill's costs (won) by a rate in ppm, None if the rate is not known."""

    name: ChargeName
    rate_ppm: int | None
    amount: int


@dataclass(frozen=True, slots=True)
class FillExplanation:
    """A fill, its costs, and the time from the acceptance to each stage, in milliseconds."""

    execution: ExecutionRecord
    charges: tuple[Charge, ...]
    ms_to_fill: int | None
    ms_to_settlement: int | None
    ms_to_portfolio: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What an open order waits for.

    ``price`` is its limit (won), None for a market order; ``tick`` is the last trade, if known.
    ``next_check_at`` is the time of the next attempt, ``expires_at`` the end of a DAY order,
    ``next_opening`` the end of a closed session. ``delayed_since`` is set if no worker has done the
    next step for longer than DELAYED_AFTER.
    """

    stage: OrderStage
    quantity: int
    price: int | None
    tick: Tick | None
    tick_age_ms: int | None
    distance: Distance | None
    next_check_at: datetime | None
    expires_at: datetime | None
    next_opening: datetime | None
    halted_since: datetime | None
    delayed_since: datetime | None
    reasons: tuple[WaitingReason, ...]


class _FactsRow(NamedTuple):
    accepted_position: int | None
    book_price: int | None
    next_attempt_at: datetime | None
    awaiting_first_print: bool
    market: Market
    kind: StockKind
    stock_status: str
    stock_resumed_at: datetime | None
    order_with_pending_fills: UUID | None
    account_halted_since: datetime | None
    matched_until: int | None
    matched_at: datetime | None


def get_order_facts(
    session: Session,
    *,
    user_id: UUID,
    order_id: UUID,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> OrderFacts:
    """Return what is known about one order of this user.

    Raise OrderNotFound, for another user's order too. Always the same number of statements.
    """
    order = get_order(session, user_id=user_id, order_id=order_id, hours=hours)
    with_pending_fills = (
        select(PENDING_FILLS.c.order_id)
        .where(PENDING_FILLS.c.order_id == order_id)
        .limit(1)
        .scalar_subquery()
    )
    own_cursor = (MATCH_CURSORS.c.shards == settings.matcher_shards) & (
        MATCH_CURSORS.c.shard == shard_of(order.stock_code, settings.matcher_shards)
    )
    found = session.execute(
        select(
            ORDERS.c.accepted_position,
            ORDERS.c.book_price,
            ORDERS.c.next_attempt_at,
            ORDERS.c.awaiting_first_print,
            STOCKS.c.market,
            STOCKS.c.kind,
            STOCKS.c.status.label("stock_status"),
            STOCKS.c.resumed_at.label("stock_resumed_at"),
            with_pending_fills.label("order_with_pending_fills"),
            ACCOUNT_HALTED_SINCE.label("account_halted_since"),
            *(
                select(MATCH_CURSORS.c[name]).where(own_cursor).scalar_subquery()
                for name in ("position", "scanned_at")
            ),
        )
        .join(STOCKS, STOCKS.c.code == ORDERS.c.stock_code)
        .where(ORDERS.c.id == order_id),
        {"owner": user_id},
    ).one()
    row = _FactsRow._make(found)
    return OrderFacts(
        order=order,
        market=row.market,
        kind=row.kind,
        stock_status=row.stock_status,
        stock_resumed_at=row.stock_resumed_at,
        accepted_position=row.accepted_position or 0,
        book_price=row.book_price,
        next_attempt_at=row.next_attempt_at,
        awaiting_first_print=row.awaiting_first_print,
        has_pending_fills=row.order_with_pending_fills is not None,
        account_halted=row.account_halted_since is not None,
        halts=halts_since(session, now - timedelta(seconds=TICK_TTL_S)),
        matched_until=row.matched_until or 0,
        matched_at=row.matched_at,
    )


def explain_fills(facts: OrderFacts) -> tuple[FillExplanation, ...]:
    """Return every fill of an order with its costs and times."""
    return tuple(_explain_fill(execution, facts) for execution in facts.order.executions)


def explain_waiting(
    facts: OrderFacts,
    tick: Tick | None,
    *,
    market_available: bool,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> Waiting:
    """Return what an open order waits for, with at least one reason.

    ``tick`` is the last trade of its stock, None if there is none or Redis is unavailable.
    """
    order = facts.order
    step = _step(facts, tick, hours=hours, settings=settings, now=now)
    reasons = tuple(
        _reasons(
            facts,
            tick,
            step,
            market_available=market_available,
            hours=hours,
            settings=settings,
            now=now,
        )
    )
    closed = WaitingReason.CLOSED_SESSION in reasons
    delayed_since = None
    blocked = any(_blocking_reasons(facts, hours=hours, now=now))
    if set(reasons) & set(_ABOUT_TO_FILL) or (_is_in_execution(facts, step) and not blocked):
        delayed_since = _delayed_since(facts, step, settings=settings, now=now)
    if delayed_since is not None:
        waits = tuple(reason for reason in reasons if reason not in _ABOUT_TO_FILL)
        reasons = (*waits, WaitingReason.PROCESSING_DELAYED)
    return Waiting(
        stage=OrderStage.IN_EXECUTION if _is_in_execution(facts, step) else OrderStage.IN_BOOK,
        quantity=order.remaining_quantity,
        price=order.price,
        tick=tick,
        tick_age_ms=None if tick is None else tick.age_ms(now),
        distance=distance_to_limit(Side(order.side), order.price, tick, kind=facts.kind),
        next_check_at=facts.next_attempt_at,
        expires_at=order.expires_at,
        # The opening for LIMIT orders: trades fill every order in the book from then on.
        next_opening=hours.next_opening(now, order_type=OrderType.LIMIT, kind=facts.kind)
        if closed
        else None,
        halted_since=facts.halted_since,
        delayed_since=delayed_since,
        reasons=reasons,
    )


def _delayed_since(
    facts: OrderFacts, step: NextStep, *, settings: Settings, now: datetime
) -> datetime | None:
    """Return since when an order that can fill has waited for a worker; None if that is not long.

    An order in execution waits since it was due, one in the book since the matcher had read all
    trades.
    """
    if not _is_in_execution(facts, step):
        accepted_at = facts.order.accepted_at
        since = max(facts.matched_at or accepted_at, accepted_at)
    elif facts.next_attempt_at is None:
        return None
    else:
        # Stored is the time at which the recovery sweep dispatches the order again.
        since = facts.next_attempt_at - timedelta(milliseconds=settings.wake_grace_ms)
    return since if now - since > DELAYED_AFTER else None


def _explain_fill(execution: ExecutionRecord, facts: OrderFacts) -> FillExplanation:
    def after(stage_at: datetime | None) -> int | None:
        return None if stage_at is None else (stage_at - facts.order.accepted_at) // _MILLISECOND

    return FillExplanation(
        execution=execution,
        charges=tuple(_charges(execution, facts)),
        ms_to_fill=after(execution.executed_at),
        ms_to_settlement=after(execution.settled_at),
        ms_to_portfolio=after(execution.applied_at),
    )


def _charges(execution: ExecutionRecord, facts: OrderFacts) -> Iterator[Charge]:
    yield Charge(ChargeName.COMMISSION, execution.commission_ppm, execution.commission)
    if facts.order.side == Side.BUY:
        return
    rates = tax_rates(facts.market, facts.kind, trade_date(execution.executed_at))
    for name, rate_ppm, tax in (
        (ChargeName.TRANSACTION_TAX, rates.transaction_ppm, execution.transaction_tax),
        (ChargeName.RURAL_TAX, rates.rural_ppm, execution.rural_tax),
    ):
        # Rates depend on the market of the stock. If it has moved since, today's rate is not the
        # one that was applied.
        applied = rate_rounded_down(execution.amount, rate_ppm) == tax
        yield Charge(name, rate_ppm if applied else None, tax)


def _step(
    facts: OrderFacts, tick: Tick | None, *, hours: MarketHours, settings: Settings, now: datetime
) -> NextStep:
    """Return what happens to the order next, leaving out blocks: those are reasons of their own."""
    order = facts.order
    evidence = None
    if tick is not None:
        evidence = last_trade_evidence(
            tick,
            time_in_force=TimeInForce(order.time_in_force),
            accepted_at=order.accepted_at,
            kind=facts.kind,
            hours=hours,
            halts=facts.halts,
            stock_resumed_at=facts.stock_resumed_at,
            now=now,
        )
    return next_step(
        OrderSituation.of_stored_order(
            side=order.side,
            limit_price=order.price,
            time_in_force=order.time_in_force,
            book_price=facts.book_price,
            awaiting_first_print=facts.awaiting_first_print,
            accepted_at=order.accepted_at,
            has_matched_fills=facts.has_pending_fills,
            freshness_ms=settings.tick_freshness_ms,
            now=now,
        ),
        evidence,
        profile=FillProfile(settings.fill_profile),
        freshness_ms=settings.tick_freshness_ms,
    )


def _is_in_execution(facts: OrderFacts, step: NextStep) -> bool:
    """Return True if a worker executes the order next; False if it waits in the book."""
    return step.action is Action.RECORD_MATCHED_FILLS or (
        facts.next_attempt_at is not None and not step.only_by_matcher
    )


def _reasons(
    facts: OrderFacts,
    tick: Tick | None,
    step: NextStep,
    *,
    market_available: bool,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> Iterator[WaitingReason]:
    blocked_by = list(_blocking_reasons(facts, hours=hours, now=now))
    yield from blocked_by
    if hours.filling_session(now, exchange=None, kind=facts.kind) is None:
        yield WaitingReason.CLOSED_SESSION
    if step.action is Action.RECORD_MATCHED_FILLS:
        # The fill was found, so trades since then do not matter.
        found: Iterable[WaitingReason] = (WaitingReason.BEING_EXECUTED,)
    elif not market_available:
        found = (WaitingReason.MARKET_UNAVAILABLE,)
    elif tick is None:
        found = (WaitingReason.NO_TICK,)
    else:
        found = _reasons_of_last_trade(facts, tick, step, hours=hours, settings=settings, now=now)
    # A blocked order is not about to be filled.
    yield from (reason for reason in found if not (blocked_by and reason in _ABOUT_TO_FILL))


def _blocking_reasons(
    facts: OrderFacts, *, hours: MarketHours, now: datetime
) -> Iterator[WaitingReason]:
    blocks = trading_blocks(
        stock_status=facts.stock_status,
        trading_halted=facts.halted_since is not None,
        account_halted=facts.account_halted,
    )
    yield from (WaitingReason(block) for block in blocks)
    if not facts.has_pending_fills and not _is_alive(facts, now, hours):
        yield WaitingReason.DAY_ENDED


def _is_alive(facts: OrderFacts, at: datetime, hours: MarketHours) -> bool:
    """Return True if the order's day has not ended at this instant."""
    order = facts.order
    return is_within_order_life(
        hours, TimeInForce(order.time_in_force), accepted_at=order.accepted_at, traded_at=at
    )


def _reasons_of_last_trade(
    facts: OrderFacts,
    tick: Tick,
    step: NextStep,
    *,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> Iterator[WaitingReason]:
    """Yield why the last trade has not filled the order."""
    stale = tick.age_ms(now) > settings.tick_freshness_ms
    in_session = (
        hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=facts.kind) is not None
    )
    halted = any(
        halt.is_active_at(tick.received_at) or halt.is_active_at(tick.traded_at)
        for halt in facts.halts
    ) or (facts.stock_resumed_at is not None and tick.traded_before <= facts.stock_resumed_at)
    counts = in_session and not halted and _is_alive(facts, tick.traded_at, hours)
    if stale:
        yield WaitingReason.STALE_FEED
    if not in_session:
        yield WaitingReason.PRINT_OUTSIDE_SESSION
    if halted:
        yield WaitingReason.PRINT_DURING_HALT
    if not is_met(Side(facts.order.side), facts.order.price, tick.price):
        yield WaitingReason.PRICE_NOT_MET
    elif _is_in_execution(facts, step):
        if isinstance(step.last_trade, Fill):
            yield WaitingReason.BEING_EXECUTED
    elif tick.position.packed <= facts.accepted_position or not tick.was_traded_after(
        facts.order.accepted_at
    ):
        yield WaitingReason.PRINT_BEFORE_ACCEPTANCE
    elif counts:
        scanned = tick.position.packed <= facts.matched_until
        yield WaitingReason.NOT_REACHED if scanned else WaitingReason.AWAITING_MATCH
