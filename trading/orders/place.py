"""Stage one, accept: check an order by the rules, set cash or shares aside for it, and record it. A preview does the same and records nothing."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.account_events.record import emit_order_event
from trading.config.settings import Settings
from trading.db.statements import execute_rowcount
from trading.db.transactions import after_commit
from trading.db.types import Shares, Won
from trading.exchange.fees import SaleTaxes, commission, largest_affordable_quantity, sale_taxes
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.ledger.errors import AccountOverdrawn, InsufficientCash, InsufficientQuantity
from trading.ledger.tables import PORTFOLIOS, VIRTUAL_BALANCES
from trading.marketdata.quotes import QuoteStore
from trading.orders.errors import ClientOrderIdTaken
from trading.orders.model import OPEN_STATUSES, OrderStatus
from trading.orders.records import OrderPreview, OrderRecord
from trading.orders.tables import ORDERS
from trading.orders.validate import (
    OrderTerms,
    OrderValidation,
    market_snapshot,
    required_cash,
    validate_terms,
)
from trading.tasks import Task, TaskRequest

# Every order sends these, and putting a statement together takes longer than the server takes to answer it.
_INSERT_ORDER = insert(ORDERS)
_RESERVE_CASH = (
    update(VIRTUAL_BALANCES)
    .where(
        VIRTUAL_BALANCES.c.user_id == bindparam("owner"),
        VIRTUAL_BALANCES.c.cash_balance - VIRTUAL_BALANCES.c.reserved_cash
        >= bindparam("needed", type_=Won),
    )
    .values(reserved_cash=VIRTUAL_BALANCES.c.reserved_cash + bindparam("needed", type_=Won))
)
_RESERVE_SHARES = (
    update(PORTFOLIOS)
    .where(
        PORTFOLIOS.c.user_id == bindparam("owner"),
        PORTFOLIOS.c.stock_code == bindparam("code"),
        PORTFOLIOS.c.quantity - PORTFOLIOS.c.reserved_quantity >= bindparam("needed", type_=Shares),
    )
    .values(reserved_quantity=PORTFOLIOS.c.reserved_quantity + bindparam("needed", type_=Shares))
)

# How many of the orders that hold the shares back a refusal names.
_RESERVED_BY_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(OrderTerms):
    """What a user asks for. ``order_id`` is made before the transaction, so that a repeated attempt is recognised. ``request_id`` is for the logs."""

    order_id: UUID
    user_id: UUID
    client_order_id: str | None = None
    request_id: str | None = None


def place_order(
    session: Session,
    command: PlaceOrder,
    *,
    quotes: QuoteStore,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> OrderRecord:
    """Accept an order, and wake its execution where it may fill at once.

    Raises what ``trading.orders.validate.stand`` does, and InsufficientCash, InsufficientQuantity or ClientOrderIdTaken.
    """
    market = market_snapshot(quotes, command.stock_code)
    standing = validate_terms(
        session, command, market, user_id=command.user_id, hours=hours, settings=settings, now=now
    )
    reserved_cash = required_cash(command, standing, quantity=command.quantity, settings=settings)
    _insert(session, command, standing, reserved_cash=reserved_cash, now=now)
    if command.side is Side.BUY:
        _reserve_cash(session, command, standing, needed=reserved_cash, settings=settings)
    else:
        _reserve_shares(session, command)
    if standing.is_due:
        after_commit(session, TaskRequest(Task.EXECUTE_ORDERS, (command.order_id,)))
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
    quotes: QuoteStore,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> OrderPreview:
    """What an order would come to, by the same checks; nothing is written. Raises the refusals that the order would meet."""
    market = market_snapshot(quotes, command.stock_code)
    standing = validate_terms(
        session, command, market, user_id=command.user_id, hours=hours, settings=settings, now=now
    )
    price = command.limit_price or (standing.tick.price if standing.tick else None)
    needed = required_cash(command, standing, quantity=command.quantity, settings=settings)
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


def _taxes(
    side: Side, amount: int | None, standing: OrderValidation, now: datetime
) -> SaleTaxes | None:
    if amount is None:
        return None
    if side is Side.BUY:
        return SaleTaxes(0, 0)
    return sale_taxes(amount, market=standing.market, kind=standing.kind, on=trade_date(now))


def _insert(
    session: Session,
    command: PlaceOrder,
    standing: OrderValidation,
    *,
    reserved_cash: int,
    now: datetime,
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
        "next_attempt_at": standing.next_attempt_at,
        "finished_at": None,
        "book_price": standing.book_price,
        "awaiting_first_print": standing.awaiting_first_print,
        "request_id": command.request_id,
    }
    try:
        session.execute(_INSERT_ORDER, order)
    except IntegrityError as conflict:
        if command.client_order_id is not None and "client_order_id" in str(conflict.orig):
            raise ClientOrderIdTaken(client_order_id=command.client_order_id) from None
        raise
    emit_order_event(session, order, at=now)


def _knows(session: Session, command: PlaceOrder) -> bool:
    mine = (ORDERS.c.user_id == command.user_id) & (
        ORDERS.c.client_order_id == command.client_order_id
    )
    return session.scalar(select(ORDERS.c.id).where(mine)) is not None


def _reserve_cash(
    session: Session,
    command: PlaceOrder,
    standing: OrderValidation,
    *,
    needed: int,
    settings: Settings,
) -> None:
    # Condition and change are one statement, so two orders can't both see the same won; it comes last to hold the row only briefly.
    if execute_rowcount(session, _RESERVE_CASH, {"owner": command.user_id, "needed": needed}) != 1:
        available = _available_cash(session, command.user_id)
        raise InsufficientCash(
            needed=needed,
            available=available,
            largest_quantity=_largest_quantity(available, standing, settings),
        )


def _available_cash(session: Session, user_id: UUID) -> int:
    available: int = session.execute(
        select(VIRTUAL_BALANCES.c.cash_balance - VIRTUAL_BALANCES.c.reserved_cash).where(
            VIRTUAL_BALANCES.c.user_id == user_id
        )
    ).scalar_one()
    if available < 0:
        raise AccountOverdrawn(debt=-available)
    return available


def _largest_quantity(available: int, standing: OrderValidation, settings: Settings) -> int:
    return largest_affordable_quantity(available, standing.price or 1, settings.commission_ppm)


def _reserve_shares(session: Session, command: PlaceOrder) -> None:
    mine = {"owner": command.user_id, "code": command.stock_code, "needed": command.quantity}
    if execute_rowcount(session, _RESERVE_SHARES, mine) != 1:
        held, reserved = _held(session, command)
        raise _short_of_shares(session, command, held=held, reserved=reserved)


def _my_holding(command: PlaceOrder) -> ColumnElement[bool]:
    return (PORTFOLIOS.c.user_id == command.user_id) & (
        PORTFOLIOS.c.stock_code == command.stock_code
    )


def _held(session: Session, command: PlaceOrder) -> tuple[int, int]:
    row = session.execute(
        select(PORTFOLIOS.c.quantity, PORTFOLIOS.c.reserved_quantity).where(_my_holding(command))
    ).one_or_none()
    return (row.quantity, row.reserved_quantity) if row else (0, 0)


def _short_of_shares(
    session: Session, command: PlaceOrder, *, held: int, reserved: int
) -> InsufficientQuantity:
    mine = (ORDERS.c.user_id == command.user_id) & (ORDERS.c.stock_code == command.stock_code)
    holding_back = session.scalars(
        select(ORDERS.c.id)
        .where(
            mine,
            ORDERS.c.side == Side.SELL,
            ORDERS.c.status.in_(OPEN_STATUSES),
            # The order that is being refused here is in the table until its transaction is rolled back.
            ORDERS.c.id != command.order_id,
        )
        .order_by(ORDERS.c.id)
        .limit(_RESERVED_BY_MAX)
    )
    return InsufficientQuantity(
        needed=command.quantity,
        held=held,
        reserved=reserved,
        reserved_by=[str(one) for one in holding_back],
    )
