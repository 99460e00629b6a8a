"""Stage one, accept: check an order by the rules, set cash or shares aside for it, and record it. A preview does the same and records nothing."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.database.rows import rows_changed
from trading.database.tables import Holding, Order, VirtualBalance, table_of
from trading.database.transactions import send_after_commit
from trading.database.types import Shares, Won
from trading.market.quote_book import QuoteBook
from trading.queue import Task, Wakeup
from trading.rules.errors import (
    AccountOverdrawn,
    ClientOrderIdTaken,
    InsufficientCash,
    InsufficientQuantity,
)
from trading.rules.exchange_time import trade_date
from trading.rules.fees import SaleTaxes, commission, largest_affordable_quantity, sale_taxes
from trading.rules.market_hours import MarketHours
from trading.rules.orders import OPEN_STATUSES, OrderStatus, Side
from trading.rules.records import OrderPreview, OrderRecord
from trading.services.account_events import note_order
from trading.services.order_terms import Standing, Terms, look_at_market, reservation, stand
from trading.settings import Settings

_ORDERS = table_of(Order)
_BALANCES = table_of(VirtualBalance)
_HOLDINGS = table_of(Holding)

# Every order sends these, and putting a statement together takes longer than the server takes to answer it.
_INSERT_ORDER = insert(_ORDERS)
_RESERVE_CASH = (
    update(_BALANCES)
    .where(
        _BALANCES.c.user_id == bindparam("owner"),
        _BALANCES.c.cash_balance - _BALANCES.c.reserved_cash >= bindparam("needed", type_=Won),
    )
    .values(reserved_cash=_BALANCES.c.reserved_cash + bindparam("needed", type_=Won))
)
_RESERVE_SHARES = (
    update(_HOLDINGS)
    .where(
        _HOLDINGS.c.user_id == bindparam("owner"),
        _HOLDINGS.c.stock_code == bindparam("code"),
        _HOLDINGS.c.quantity - _HOLDINGS.c.reserved_quantity >= bindparam("needed", type_=Shares),
    )
    .values(reserved_quantity=_HOLDINGS.c.reserved_quantity + bindparam("needed", type_=Shares))
)

# How many of the orders that hold the shares back a refusal names.
_RESERVED_BY_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(Terms):
    """What a user asks for. ``order_id`` is made before the transaction, so that a repeated attempt is recognised. ``request_id`` is for the logs."""

    order_id: UUID
    user_id: UUID
    client_order_id: str | None = None
    request_id: str | None = None


def place_order(
    session: Session,
    command: PlaceOrder,
    *,
    quotes: QuoteBook,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> OrderRecord:
    """Accept an order, and wake its execution where it may fill at once.

    Raises what ``trading.services.order_terms.stand`` does, and InsufficientCash, InsufficientQuantity or ClientOrderIdTaken.
    """
    market = look_at_market(quotes, command.stock_code)
    standing = stand(
        session, command, market, user_id=command.user_id, hours=hours, settings=settings, now=now
    )
    reserved_cash = reservation(command, standing, quantity=command.quantity, settings=settings)
    _insert(session, command, standing, reserved_cash=reserved_cash, now=now)
    if command.side is Side.BUY:
        _reserve_cash(session, command, standing, needed=reserved_cash, settings=settings)
    else:
        _reserve_shares(session, command)
    if standing.is_due:
        send_after_commit(session, Wakeup(Task.EXECUTE_ORDERS, (command.order_id,)))
    return OrderRecord(
        id=command.order_id,
        client_order_id=command.client_order_id,
        stock_code=command.stock_code,
        stock_name=standing.stock_name,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        quantity=command.quantity,
        price=command.limit_price,
        status=OrderStatus.PENDING,
        reason=None,
        executed_quantity=0,
        reserved_cash=reserved_cash,
        accepted_at=now,
        finished_at=None,
    )


def preview_order(
    session: Session,
    command: PlaceOrder,
    *,
    quotes: QuoteBook,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> OrderPreview:
    """What an order would come to, by the same checks; nothing is written. Raises the refusals that the order would meet."""
    market = look_at_market(quotes, command.stock_code)
    standing = stand(
        session, command, market, user_id=command.user_id, hours=hours, settings=settings, now=now
    )
    price = command.limit_price or (standing.tick.price if standing.tick else None)
    needed = reservation(command, standing, quantity=command.quantity, settings=settings)
    if command.client_order_id is not None and _knows(session, command):
        raise ClientOrderIdTaken(client_order_id=command.client_order_id)
    if command.side is Side.BUY:
        available = _available_cash(session, command.user_id)
        largest = _largest_quantity(available, standing, settings)
        if needed > available:
            raise InsufficientCash(needed=needed, available=available, largest_quantity=largest)
    else:
        held, reserved = _held(session, command)
        largest = held - reserved
        if command.quantity > largest:
            raise _short_of_shares(session, command, held=held, reserved=reserved)
    amount = None if price is None else price * command.quantity
    return OrderPreview(
        stock_code=command.stock_code,
        stock_name=standing.stock_name,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        quantity=command.quantity,
        price=price,
        amount=amount,
        commission=None if amount is None else commission(amount, settings.commission_ppm),
        taxes=_taxes(command.side, amount, standing, now),
        reserved_cash=needed,
        largest_quantity=min(largest, settings.order_quantity_max),
        # A market sale without a fresh price is looked at as soon, and put off; an IOC order beyond the market ends.
        fills_at_once=standing.is_due and standing.is_marketable,
        tick_age_ms=None if standing.tick is None else standing.tick.age_ms(now),
    )


def _taxes(side: Side, amount: int | None, standing: Standing, now: datetime) -> SaleTaxes | None:
    if amount is None:
        return None
    if side is Side.BUY:
        return SaleTaxes(0, 0)
    return sale_taxes(amount, market=standing.market, kind=standing.kind, on=trade_date(now))


def _insert(
    session: Session, command: PlaceOrder, standing: Standing, *, reserved_cash: int, now: datetime
) -> None:
    order = {
        "id": command.order_id,
        "user_id": command.user_id,
        "client_order_id": command.client_order_id,
        "stock_code": command.stock_code,
        "side": command.side,
        "order_type": command.order_type,
        "time_in_force": command.time_in_force,
        "quantity": command.quantity,
        "limit_price": command.limit_price,
        "status": OrderStatus.PENDING,
        "reason": None,
        "executed_quantity": 0,
        "reserved_cash": reserved_cash,
        "accepted_at": now,
        "accepted_position": standing.position,
        "wake_at": standing.wake_at,
        "finished_at": None,
        "book_price": standing.book_price,
        "arriving": standing.arriving,
        "request_id": command.request_id,
    }
    try:
        session.execute(_INSERT_ORDER, order)
    except IntegrityError as conflict:
        if command.client_order_id is not None and "client_order_id" in str(conflict.orig):
            raise ClientOrderIdTaken(client_order_id=command.client_order_id) from None
        raise
    note_order(session, order, at=now)


def _knows(session: Session, command: PlaceOrder) -> bool:
    mine = (_ORDERS.c.user_id == command.user_id) & (
        _ORDERS.c.client_order_id == command.client_order_id
    )
    return session.scalar(select(_ORDERS.c.id).where(mine)) is not None


def _reserve_cash(
    session: Session, command: PlaceOrder, standing: Standing, *, needed: int, settings: Settings
) -> None:
    # Condition and change are one statement, so two orders can't both see the same won; it comes last to hold the row only briefly.
    if rows_changed(session, _RESERVE_CASH, {"owner": command.user_id, "needed": needed}) != 1:
        available = _available_cash(session, command.user_id)
        raise InsufficientCash(
            needed=needed,
            available=available,
            largest_quantity=_largest_quantity(available, standing, settings),
        )


def _available_cash(session: Session, user_id: UUID) -> int:
    available: int = session.execute(
        select(_BALANCES.c.cash_balance - _BALANCES.c.reserved_cash).where(
            _BALANCES.c.user_id == user_id
        )
    ).scalar_one()
    if available < 0:
        raise AccountOverdrawn(debt=-available)
    return available


def _largest_quantity(available: int, standing: Standing, settings: Settings) -> int:
    return largest_affordable_quantity(available, standing.price or 1, settings.commission_ppm)


def _reserve_shares(session: Session, command: PlaceOrder) -> None:
    mine = {"owner": command.user_id, "code": command.stock_code, "needed": command.quantity}
    if rows_changed(session, _RESERVE_SHARES, mine) != 1:
        held, reserved = _held(session, command)
        raise _short_of_shares(session, command, held=held, reserved=reserved)


def _my_holding(command: PlaceOrder) -> ColumnElement[bool]:
    return (_HOLDINGS.c.user_id == command.user_id) & (_HOLDINGS.c.stock_code == command.stock_code)


def _held(session: Session, command: PlaceOrder) -> tuple[int, int]:
    row = session.execute(
        select(_HOLDINGS.c.quantity, _HOLDINGS.c.reserved_quantity).where(_my_holding(command))
    ).one_or_none()
    return (row.quantity, row.reserved_quantity) if row else (0, 0)


def _short_of_shares(
    session: Session, command: PlaceOrder, *, held: int, reserved: int
) -> InsufficientQuantity:
    mine = (_ORDERS.c.user_id == command.user_id) & (_ORDERS.c.stock_code == command.stock_code)
    holding_back = session.scalars(
        select(_ORDERS.c.id)
        .where(
            mine,
            _ORDERS.c.side == Side.SELL,
            _ORDERS.c.status.in_(OPEN_STATUSES),
            # The order that is being refused here is in the table until its transaction is rolled back.
            _ORDERS.c.id != command.order_id,
        )
        .order_by(_ORDERS.c.id)
        .limit(_RESERVED_BY_MAX)
    )
    return InsufficientQuantity(
        needed=command.quantity,
        held=held,
        reserved=reserved,
        reserved_by=[str(one) for one in holding_back],
    )
