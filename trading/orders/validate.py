"""Validate the terms of an order against the rules and the market, before anything is reserved.

Shared by acceptance, amendment and preview.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.errors import ValidationFailed
from trading.exchange.errors import MarketClosed
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.exchange.price_grid import (
    Market,
    PriceRange,
    StockKind,
    is_on_grid,
    nearest_prices,
    tick_size,
)
from trading.exchange.time import KST, trade_date
from trading.halts.errors import AccountHalted, TradingHalted
from trading.halts.queries import ACCOUNT_HALTED_SINCE, HALTED_SINCE
from trading.ledger.errors import AccountOverdrawn
from trading.ledger.tables import VIRTUAL_BALANCES
from trading.marketdata.errors import SUBSCRIPTION_WAIT_S, NoLivePrice
from trading.marketdata.published_limits import PublishedLimits
from trading.marketdata.quotes import MarketUnavailable, QuoteStore
from trading.marketdata.ticks import Position, Tick
from trading.orders.errors import InvalidTickSize, PriceOutOfRange
from trading.orders.fill_price import Fill, TickEvidence
from trading.orders.model import FillProfile, buy_reservation, collared_price
from trading.orders.order_book import extreme_price
from trading.orders.routing import Action, BookState, NextStep, OrderSituation, next_step
from trading.stocks.errors import StockNotFound, StockNotTradable
from trading.stocks.model import StockStatus
from trading.stocks.price_limits import price_limits_on
from trading.stocks.queries import ATTRIBUTE_COLUMNS, limit_rules_of
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork

# Built once, because every order runs it.
_STOCK = select(
    STOCKS.c.name,
    *ATTRIBUTE_COLUMNS,
    STOCKS.c.reference_price,
    HALTED_SINCE.label("halted_since"),
    ACCOUNT_HALTED_SINCE.label("account_halted_since"),
    select(VIRTUAL_BALANCES.c.debt)
    .where(VIRTUAL_BALANCES.c.user_id == bindparam("owner"))
    .scalar_subquery()
    .label("debt"),
).where(STOCKS.c.code == bindparam("wanted"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What to trade and how. ``limit_price`` (won) is None for a market order."""

    stock_code: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    limit_price: int | None

    @property
    def is_immediate(self) -> bool:
        """Return True if the order can only execute while the market is open.

        That is every order except a limit order that may rest.
        """
        return self.order_type is OrderType.MARKET or not self.time_in_force.may_wait


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderValidation:
    """Result of validating an order: price, reservation basis and initial state in the book.

    ``limits`` are the legal prices of the trading day, None if they are not known. ``price`` (won)
    is the most that a share may cost by the reservation, None for a market sale of a stock without
    any price. ``position`` is the place in the tick stream up to which no trade fills the order.
    ``book_price``, ``awaiting_first_print`` and ``next_attempt_at`` are the order's columns.
    ``is_marketable`` is True if the last trade would fill it, ``is_due`` if its execution is
    dispatched at once.
    """

    stock_name: str
    market: Market
    kind: StockKind
    limits: PriceRange | None
    tick: Tick | None
    price: int | None
    position: int
    book_price: int | None
    awaiting_first_print: bool
    next_attempt_at: datetime | None
    is_marketable: bool
    is_due: bool


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """A stock's last tick, the end of the tick stream and published limits; None where absent.

    ``is_available`` is False if Redis did not answer.
    """

    tick: Tick | None
    end: Position | None
    published_limits: PublishedLimits | None = None
    is_available: bool = True


def market_snapshot(quotes: QuoteStore, code: str) -> MarketSnapshot:
    """Read the market data that an order depends on. Never raises.

    Call it before any row is locked, because Redis may be slow.
    """
    try:
        return MarketSnapshot(*quotes.market_now(code))
    except MarketUnavailable:
        return MarketSnapshot(None, None, is_available=False)


def validate_terms(
    uow: UnitOfWork, terms: OrderTerms, market: MarketSnapshot, *, user_id: UUID
) -> OrderValidation:
    """Validate a user's terms against the trading rules and current market data.

    Raise ValidationFailed, StockNotFound, StockNotTradable, TradingHalted, AccountHalted,
    AccountOverdrawn (a buy while there is a debt), MarketClosed, InvalidTickSize, PriceOutOfRange,
    or NoLivePrice (a market buy without Redis, or without any price to compute its reservation
    from; the relayer then subscribes to the stock).
    """
    hours, settings, now = uow.hours, uow.settings, uow.now
    _check_shape(terms, settings)
    tick = market.tick
    stock = _tradable_stock(uow.session, terms.stock_code, user_id)
    # A sale is allowed: its proceeds pay the debt.
    if stock.debt and terms.side is Side.BUY:
        raise AccountOverdrawn(debt=stock.debt)
    # Auctions accept MARKET orders, but not as IOC or FOK.
    order_type = terms.order_type if terms.time_in_force.may_wait else OrderType.LIMIT
    if terms.is_immediate and not hours.accepts_at_once(
        now, order_type=order_type, kind=stock.kind
    ):
        opening = hours.next_opening(now, order_type=order_type, kind=stock.kind)
        raise MarketClosed(next_open=opening.astimezone(KST).isoformat())
    day = hours.trading_day(now)
    base_price = None if tick is None else tick.base_on(day)
    limits = price_limits_on(
        day, limit_rules_of(stock), base_price=base_price, published=market.published_limits
    )
    if terms.limit_price is not None:
        _check_price(terms.limit_price, stock.kind, limits, base_price=base_price)
    profile = FillProfile(settings.fill_profile)
    # Halts and stocks that cannot be traded were refused above, so nothing blocks the order.
    step = next_step(
        OrderSituation(
            side=terms.side,
            limit_price=terms.limit_price,
            time_in_force=terms.time_in_force,
            book_state=BookState.ARRIVING,
        ),
        _evidence(tick, stock, hours=hours, now=now),
        profile=profile,
        freshness_ms=settings.tick_freshness_ms,
    )
    price = terms.limit_price
    if price is None and market.is_available:
        price = _highest_price(stock, tick, limits, hours=hours, settings=settings, now=now)
    if terms.side is Side.BUY and price is None:
        raise _no_live_price(uow, terms.stock_code, market)
    placement = _initial_placement(terms, step, settings=settings, now=now)
    return OrderValidation(
        stock_name=stock.name,
        market=stock.market,
        kind=stock.kind,
        limits=limits,
        tick=tick,
        price=price,
        position=stream_position(market, now),
        book_price=placement.book_price,
        awaiting_first_print=placement.awaiting_first_print,
        next_attempt_at=placement.next_attempt_at,
        is_marketable=isinstance(step.last_trade, Fill),
        is_due=placement.is_due,
    )


def required_cash(
    terms: OrderTerms, validation: OrderValidation, *, quantity: int, settings: Settings
) -> int:
    """Return the cash (won) that ``quantity`` shares of a buy reserve; 0 for a sale."""
    if terms.side is Side.SELL or validation.price is None:
        return 0
    return buy_reservation(
        quantity=quantity, price=validation.price, commission_ppm=settings.commission_ppm
    )


def _no_live_price(uow: UnitOfWork, code: str, market: MarketSnapshot) -> NoLivePrice:
    """Return the refusal of a stock without a price, and request its subscription.

    No row is locked yet, so a slow Redis delays no other transaction.
    """
    age_ms = None if market.tick is None else market.tick.age_ms(uow.now)
    if not market.is_available:
        return NoLivePrice(stock_code=code, age_ms=age_ms)
    with suppress(MarketUnavailable):
        uow.quotes.request_subscription(code, now=uow.now)
    return NoLivePrice(stock_code=code, age_ms=age_ms, retry_after_s=SUBSCRIPTION_WAIT_S)


def _check_shape(terms: OrderTerms, settings: Settings) -> None:
    if not 0 < terms.quantity <= settings.order_quantity_max:
        raise ValidationFailed(field="quantity", limit=settings.order_quantity_max)
    if (terms.order_type is OrderType.LIMIT) != (terms.limit_price is not None):
        raise ValidationFailed(field="price")


class _StockRow(NamedTuple):
    """The columns that decide whether the user may trade the stock; ``debt`` in won."""

    name: str
    market: Market
    kind: StockKind
    status: str
    leverage_percent: int
    listed_on: date | None
    in_liquidation: bool
    resumed_at: datetime | None
    reference_price: int | None
    halted_since: datetime | None
    account_halted_since: datetime | None
    debt: int | None


def _tradable_stock(session: Session, code: str, user_id: UUID) -> _StockRow:
    row = session.execute(_STOCK, {"wanted": code, "owner": user_id}).one_or_none()
    if row is None:
        raise StockNotFound(stock_code=code)
    stock = _StockRow._make(row)
    if stock.status != StockStatus.TRADABLE:
        raise StockNotTradable(stock_code=code, stock_status=stock.status)
    if stock.halted_since is not None:
        raise TradingHalted(since=stock.halted_since.astimezone(KST).isoformat())
    if stock.account_halted_since is not None:
        raise AccountHalted(since=stock.account_halted_since.astimezone(KST).isoformat())
    return stock


def _check_price(
    price: int, kind: StockKind, limits: PriceRange | None, *, base_price: int | None
) -> None:
    if not is_on_grid(price, kind):
        raise InvalidTickSize(
            price=price,
            tick_size=tick_size(price, kind),
            nearest_prices=list(nearest_prices(price, kind)),
        )
    if limits is not None and not limits.contains(price):
        raise PriceOutOfRange(
            price=price,
            lower_limit=limits.lower,
            upper_limit=limits.upper,
            base_price=base_price,
        )


def _highest_price(
    stock: _StockRow,
    tick: Tick | None,
    limits: PriceRange | None,
    *,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> int | None:
    """Return the most that a share of a market order may cost now (won); None if unknown.

    In continuous trading that is the last trade of the day raised by the collar, in an auction or
    before the first trade the day's upper limit. Before today's limits are known they are computed
    from the last known price: the last trade of an earlier day, else the last imported close. In
    liquidation trading, which has no limits, it is the last known price raised by the collar. No
    price is above the day's upper limit.
    """
    day = hours.trading_day(now)
    if tick is not None and trade_date(tick.traded_at) == day:
        collared = collared_price(tick.price, settings.market_buy_collar_bp)
        continuous = hours.accepts_at_once(now, order_type=OrderType.LIMIT, kind=stock.kind)
        if limits is None or limits.upper is None:
            return collared
        return min(collared, limits.upper) if continuous else limits.upper
    last_price = stock.reference_price if tick is None else tick.price
    limits = limits or price_limits_on(day, limit_rules_of(stock), base_price=last_price)
    if limits is not None and limits.upper is not None:
        return limits.upper
    if last_price is None:
        return None
    return collared_price(last_price, settings.market_buy_collar_bp)


def _evidence(
    tick: Tick | None, stock: _StockRow, *, hours: MarketHours, now: datetime
) -> TickEvidence | None:
    if tick is None:
        return None
    # An order that arrives in an auction, or just after one, cannot be filled by earlier trades:
    # only continuous trading has a last trade to fill at.
    continuous = hours.accepts_at_once(now, order_type=OrderType.LIMIT, kind=stock.kind)
    resumed_at = stock.resumed_at
    is_before_resumption = resumed_at is not None and tick.traded_before <= resumed_at
    session = (
        hours.filling_session(tick.traded_at, exchange=tick.exchange, kind=stock.kind)
        if continuous and not is_before_resumption
        else None
    )
    return TickEvidence(price=tick.price, age_ms=tick.age_ms(now), session=session)


def stream_position(market: MarketSnapshot, now: datetime) -> int:
    """Return the end of the tick stream now.

    If it is unavailable, use the clock: stream positions begin with a time in milliseconds.
    """
    seen = [
        place
        for place in (market.end, market.tick.position if market.tick else None)
        if place is not None
    ]
    return max(seen, default=Position(int(now.timestamp() * 1_000), 0)).packed


class _Placement(NamedTuple):
    """The columns ``book_price``, ``awaiting_first_print`` and ``next_attempt_at`` of a new order.

    ``is_due`` is True if its execution is dispatched at once.
    """

    book_price: int | None
    awaiting_first_print: bool
    next_attempt_at: datetime | None = None
    is_due: bool = False


def _initial_placement(
    terms: OrderTerms, step: NextStep, *, settings: Settings, now: datetime
) -> _Placement:
    """Return where an order with these terms is put, given its first step."""
    price = extreme_price(terms.side) if terms.limit_price is None else terms.limit_price
    match step.action:
        case Action.REST:
            return _Placement(price, awaiting_first_print=False)
        case Action.AWAIT_PRINT:
            return _Placement(price, awaiting_first_print=True)
        case Action.AWAIT_PRINT_UNTIL_DEADLINE:
            deadline = now + timedelta(milliseconds=settings.tick_freshness_ms)
            return _Placement(price, awaiting_first_print=True, next_attempt_at=deadline)
        case _:
            # The execution decides with a newer tick. A marketable limit order that may rest is in
            # the book as well, so that no print between acceptance and execution is missed.
            return _Placement(
                None if terms.is_immediate else price,
                awaiting_first_print=not terms.is_immediate,
                next_attempt_at=now + timedelta(milliseconds=settings.wake_grace_ms),
                is_due=True,
            )
