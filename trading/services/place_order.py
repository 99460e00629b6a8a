"""Stage one, accept: check an order by the rules, set cash or shares aside for it, and record it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.database.rows import rows_changed
from trading.database.tables import Holding, Order, Stock, VirtualBalance, table_of
from trading.database.transactions import send_after_commit
from trading.market.quote_book import MarketUnavailable, QuoteBook
from trading.market.tick import Tick
from trading.queue import Task, Wakeup
from trading.rules.errors import (
    ClientOrderIdTaken,
    InsufficientCash,
    InsufficientQuantity,
    NoLivePrice,
    StockNotFound,
    StockNotTradable,
    ValidationFailed,
)
from trading.rules.fees import largest_affordable_quantity
from trading.rules.money import raised_by_basis_points
from trading.rules.orders import OrderStatus, OrderType, Side, TimeInForce, market_buy_reservation
from trading.rules.records import OrderRecord
from trading.settings import Settings

_ORDERS = table_of(Order)
_STOCKS = table_of(Stock)
_BALANCES = table_of(VirtualBalance)
_HOLDINGS = table_of(Holding)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """What a user asks for. ``order_id`` is made before the transaction, so that a repeated attempt is recognised."""

    order_id: UUID
    user_id: UUID
    stock_code: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: int
    client_order_id: str | None = None


def place_order(
    session: Session, command: PlaceOrder, *, quotes: QuoteBook, settings: Settings, now: datetime
) -> OrderRecord:
    """Accept a market order and wake its execution.

    Raises ValidationFailed, StockNotFound, StockNotTradable, NoLivePrice (a buy needs a fresh price to know what to reserve),
    InsufficientCash, InsufficientQuantity or ClientOrderIdTaken.
    """
    if not 0 < command.quantity <= settings.order_quantity_max:
        raise ValidationFailed(field="quantity", limit=settings.order_quantity_max)
    # The market is asked first: no database connection is held while Redis takes its time.
    tick = _fresh_tick(command, quotes=quotes, settings=settings, now=now)
    stock_name = _tradable_stock(session, command.stock_code)
    reserved_cash = 0
    if command.side is Side.BUY and tick is not None:
        reserved_cash = market_buy_reservation(
            quantity=command.quantity,
            last_price=tick.price,
            collar_bp=settings.market_buy_collar_bp,
            commission_ppm=settings.commission_ppm,
        )
    _insert(session, command, tick=tick, reserved_cash=reserved_cash, settings=settings, now=now)
    if command.side is Side.BUY and tick is not None:
        _reserve_cash(session, command, needed=reserved_cash, price=tick.price, settings=settings)
    else:
        _reserve_shares(session, command)
    send_after_commit(session, Wakeup(Task.EXECUTE_ORDERS, (command.order_id,)))
    return OrderRecord(
        id=command.order_id,
        client_order_id=command.client_order_id,
        stock_code=command.stock_code,
        stock_name=stock_name,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        quantity=command.quantity,
        price=None,
        status=OrderStatus.PENDING,
        reason=None,
        executed_quantity=0,
        reserved_cash=reserved_cash,
        accepted_at=now,
        finished_at=None,
    )


def _fresh_tick(command: PlaceOrder, *, quotes: QuoteBook, settings: Settings, now: datetime) -> Tick | None:
    """The tick that a buy's reservation rests on. A sale reserves shares alone and waits for its price, so it may go without."""
    try:
        tick = quotes.last_tick(command.stock_code)
    except MarketUnavailable:
        if command.side is Side.BUY:
            raise NoLivePrice(stock_code=command.stock_code) from None
        return None
    if command.side is Side.BUY and (tick is None or tick.age_ms(now) > settings.tick_freshness_ms):
        raise NoLivePrice(stock_code=command.stock_code, age_ms=None if tick is None else tick.age_ms(now))
    return tick


def _tradable_stock(session: Session, code: str) -> str:
    row = session.execute(select(_STOCKS.c.name, _STOCKS.c.status).where(_STOCKS.c.code == code)).one_or_none()
    if row is None:
        raise StockNotFound(stock_code=code)
    if row.status != "TRADABLE":
        raise StockNotTradable(stock_code=code, stock_status=row.status)
    return str(row.name)


def _insert(
    session: Session, command: PlaceOrder, *, tick: Tick | None, reserved_cash: int, settings: Settings, now: datetime
) -> None:
    try:
        session.execute(
            insert(_ORDERS).values(
                id=command.order_id,
                user_id=command.user_id,
                client_order_id=command.client_order_id,
                stock_code=command.stock_code,
                side=command.side,
                order_type=command.order_type,
                time_in_force=command.time_in_force,
                quantity=command.quantity,
                limit_price=None,
                status=OrderStatus.PENDING,
                reason=None,
                executed_quantity=0,
                reserved_cash=reserved_cash,
                accepted_at=now,
                accepted_position=None if tick is None else tick.position.packed,
                wake_at=now + timedelta(milliseconds=settings.wake_grace_ms),
                finished_at=None,
            )
        )
    except IntegrityError as conflict:
        if command.client_order_id is not None and "client_order_id" in str(conflict.orig):
            raise ClientOrderIdTaken(client_order_id=command.client_order_id) from None
        raise


def _reserve_cash(session: Session, command: PlaceOrder, *, needed: int, price: int, settings: Settings) -> None:
    # Condition and change are one statement, so two orders can't both see the same won; it comes last to hold the row only briefly.
    met = rows_changed(
        session,
        update(_BALANCES)
        .where(_BALANCES.c.user_id == command.user_id, _BALANCES.c.cash_balance - _BALANCES.c.reserved_cash >= needed)
        .values(reserved_cash=_BALANCES.c.reserved_cash + needed),
    )
    if met == 1:
        return
    available = session.execute(
        select(_BALANCES.c.cash_balance - _BALANCES.c.reserved_cash).where(_BALANCES.c.user_id == command.user_id)
    ).scalar_one()
    raise InsufficientCash(
        needed=needed,
        available=available,
        largest_quantity=largest_affordable_quantity(
            available, raised_by_basis_points(price, settings.market_buy_collar_bp), settings.commission_ppm
        ),
    )


def _reserve_shares(session: Session, command: PlaceOrder) -> None:
    mine = (_HOLDINGS.c.user_id == command.user_id) & (_HOLDINGS.c.stock_code == command.stock_code)
    met = rows_changed(
        session,
        update(_HOLDINGS)
        .where(mine, _HOLDINGS.c.quantity - _HOLDINGS.c.reserved_quantity >= command.quantity)
        .values(reserved_quantity=_HOLDINGS.c.reserved_quantity + command.quantity),
    )
    if met == 1:
        return
    held = session.execute(select(_HOLDINGS.c.quantity, _HOLDINGS.c.reserved_quantity).where(mine)).one_or_none()
    quantity, reserved = (held.quantity, held.reserved_quantity) if held else (0, 0)
    raise InsufficientQuantity(needed=command.quantity, held=quantity, reserved=reserved)
