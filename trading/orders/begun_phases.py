"""End the orders in the book that must end when a stock begins a phase of its day.

The first print of a phase shows the day's price limits and base price. Limit orders whose price is
outside the limits end. So do those from before the day if the base price has jumped: their prices
belong to other shares, such as those before a split. The last recorded close may be old, as that of
a stock that was not followed: it says nothing about orders accepted after its day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from trading.exchange.order_types import OrderType
from trading.exchange.price_grid import LimitRules, PriceRange
from trading.exchange.time import KST, trade_date
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.ticks import Tick
from trading.orders.auctions import AuctionRole
from trading.orders.close import OrderClosure, end_orders
from trading.orders.model import EndReason, OrderEvent
from trading.orders.order_book import orders_outside
from trading.orders.rows import LOCKED_COLUMNS, LockedOrder
from trading.orders.tables import ORDERS
from trading.stocks.price_limits import price_limits_on
from trading.stocks.queries import StockAttributes, load_stock_attributes
from trading.stocks.valuation_prices import load_recorded_prices
from trading.unit_of_work import UnitOfWork

_PER_STATEMENT = 500


class BasePriceJump(NamedTuple):
    """A base price (won) outside the limits that the last recorded close (won) would give.

    ``close_day_ended_at`` is the midnight in Korea after the day of the close.
    """

    stock_code: str
    last_close: int
    base_price: int
    close_day_ended_at: datetime


@dataclass(frozen=True, slots=True)
class PhaseEndings:
    """Orders to end by id, with the reason, and the jumps of base prices."""

    reasons: Mapping[UUID, EndReason]
    jumps: Sequence[BasePriceJump] = ()


def has_jumped(base_price: int, last_close: int, rules: LimitRules, *, now: datetime) -> bool:
    """Return True if a day's base price is outside the limits that the last close would give.

    Both are in won. No single day of trading can move a price that far.
    """
    limits = price_limits_on(trade_date(now), rules, base_price=last_close)
    return limits is not None and not limits.contains(base_price)


def endings_of_begun_phases(
    session: Session,
    ticks_by_stock: Mapping[str, Sequence[Tick]],
    roles: Mapping[int, AuctionRole],
    *,
    quotes: QuoteStore,
) -> PhaseEndings:
    """Return the orders in the book that end, because their stock has begun a phase."""
    first_prints = {
        code: tick
        for code, ticks in ticks_by_stock.items()
        for tick in ticks
        if roles[tick.position.packed].begins_phase
    }
    if not first_prints:
        return PhaseEndings({})
    stocks = load_stock_attributes(session, first_prints)
    outside = orders_outside(session, _limits(first_prints, stocks, quotes=quotes))
    jumps = _jumps(session, first_prints, stocks)
    reasons = dict.fromkeys(outside, EndReason.PRICE_OUT_OF_LIMITS)
    reasons |= dict.fromkeys(_orders_before(session, jumps), EndReason.BASE_PRICE_CHANGED)
    return PhaseEndings(reasons, jumps)


def limits_of_last_ticks(
    ticks_by_stock: Mapping[str, Sequence[Tick]],
    stocks: Mapping[str, StockAttributes],
    *,
    quotes: QuoteStore,
) -> dict[str, PriceRange | None]:
    """Return the price limits of stocks on the day of their last tick, None if they are unknown.

    Stocks without ticks are left out.
    """
    published = quotes.published_limits(stocks)
    limits: dict[str, PriceRange | None] = {}
    for code, stock in stocks.items():
        if ticks := ticks_by_stock.get(code):
            day = trade_date(ticks[-1].traded_at)
            bases = [base for tick in ticks if (base := tick.base_on(day)) is not None]
            limits[code] = price_limits_on(
                day,
                stock.limit_rules,
                base_price=bases[-1] if bases else None,
                published=published.get(code),
            )
    return limits


def is_outside(limits: PriceRange | None, limit_price: int | None) -> bool:
    """Return True if an order's limit (won) is outside known price limits."""
    return limits is not None and limit_price is not None and not limits.contains(limit_price)


def end_by_reason(uow: UnitOfWork, reasons: Mapping[UUID, EndReason]) -> None:
    """End locked orders for these reasons."""
    ids = sorted(reasons)
    for start in range(0, len(ids), _PER_STATEMENT):
        rows = uow.session.execute(
            select(*LOCKED_COLUMNS)
            .where(ORDERS.c.id.in_(ids[start : start + _PER_STATEMENT]))
            .order_by(ORDERS.c.id)
        )
        orders = map(LockedOrder._make, rows)
        end_orders(uow, [OrderClosure(one, OrderEvent.CANCEL, reasons[one.id]) for one in orders])


def _limits(
    first_prints: Mapping[str, Tick],
    stocks: Mapping[str, StockAttributes],
    *,
    quotes: QuoteStore,
) -> dict[str, PriceRange]:
    published = quotes.published_limits(first_prints)
    limits: dict[str, PriceRange] = {}
    for code, stock in stocks.items():
        day = trade_date(first_prints[code].traded_at)
        of_day = price_limits_on(
            day,
            stock.limit_rules,
            base_price=first_prints[code].base_on(day),
            published=published.get(code),
        )
        if of_day is not None:
            limits[code] = of_day
    return limits


def _jumps(
    session: Session, first_prints: Mapping[str, Tick], stocks: Mapping[str, StockAttributes]
) -> list[BasePriceJump]:
    def day_of(code: str) -> datetime:
        return datetime.combine(trade_date(first_prints[code].traded_at), time(), KST)

    jumps = []
    for day, group in groupby(sorted(stocks, key=lambda code: (day_of(code), code)), day_of):
        codes = list(group)
        for start in range(0, len(codes), _PER_STATEMENT):
            recorded = load_recorded_prices(session, codes[start : start + _PER_STATEMENT], now=day)
            for code, prices in sorted(recorded.items()):
                base, close = first_prints[code].base_on(day.date()), prices.before_today
                if base is None or close is None or prices.closed_at is None:
                    continue
                if has_jumped(base, close, stocks[code].limit_rules, now=day):
                    ended_at = datetime.combine(
                        trade_date(prices.closed_at) + timedelta(days=1), time(), KST
                    )
                    jumps.append(BasePriceJump(code, close, base, ended_at))
    return jumps


def _orders_before(session: Session, jumps: Sequence[BasePriceJump]) -> list[UUID]:
    """Return the limit orders in the book whose prices a jump makes obsolete.

    They were accepted by the day of the last recorded close, which is before that of the jump.
    """
    found: list[UUID] = []
    for jump in jumps:
        found += session.scalars(
            select(ORDERS.c.id).where(
                ORDERS.c.stock_code == jump.stock_code,
                ORDERS.c.book_price.is_not(None),
                ORDERS.c.order_type == OrderType.LIMIT,
                ORDERS.c.accepted_at < jump.close_day_ended_at,
            )
        )
    return found
