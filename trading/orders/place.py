"""Place an order: validate it, reserve its cash or shares and record it (stage one of four).

A preview runs the same checks and writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from trading.account_events.new_events import order_event
from trading.config.settings import Settings
from trading.exchange.fees import SaleTaxes, commission, largest_affordable_quantity, sale_taxes
from trading.exchange.order_types import Side
from trading.exchange.time import trade_date
from trading.halts.accounts import ensure_open
from trading.ledger.cash import available_cash, reserve_cash
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.ledger.holdings import HeldShares, HoldingKey, held_shares, reserve_shares
from trading.orders.errors import ClientOrderIdTaken
from trading.orders.model import OPEN_STATUSES, OrderStatus
from trading.orders.queries import expires_at
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
from trading.unit_of_work import UnitOfWork

# Built once: every order runs it, and building a statement takes longer than executing it.
_INSERT_ORDER = insert(ORDERS)

# How many of the orders that reserve the shares an InsufficientQuantity names.
_RESERVED_BY_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(OrderTerms):
    """A user's order.

    ``order_id`` is generated before the transaction, so that a repeated attempt is recognised.
    ``request_id`` is for the logs.
    """

    order_id: UUID
    user_id: UUID
    client_order_id: str | None = None
    request_id: str | None = None

    @property
    def holding_key(self) -> HoldingKey:
        """Return the key of the holding that a sale reserves shares of."""
        return HoldingKey(self.user_id, self.stock_code)


def place_order(uow: UnitOfWork, command: PlaceOrder) -> OrderRecord:
    """Accept an order, and dispatch its execution if it may fill at once.

    Raise what ``validate_terms`` raises, and InsufficientCash, InsufficientQuantity or
    ClientOrderIdTaken.
    """
    hours, session, settings, now = uow.hours, uow.session, uow.settings, uow.now
    market = market_snapshot(uow.quotes, command.stock_code)
    validation = validate_terms(uow, command, market, user_id=command.user_id)
    reserved_cash = required_cash(command, validation, quantity=command.quantity, settings=settings)
    _insert(uow, command, validation, reserved_cash=reserved_cash)
    ensure_open(session, command.user_id)
    # Reservations come last, because they lock the balance or the holding until the COMMIT.
    if command.side is Side.BUY:
        _reserve_cash(session, command, validation, needed=reserved_cash, settings=settings)
    elif not reserve_shares(session, command.holding_key, command.quantity):
        held = held_shares(session, command.holding_key)
        raise _insufficient_quantity(session, command, held)
    if validation.is_due:
        uow.after_commit(TaskRequest(Task.EXECUTE_ORDERS, (command.order_id,)))
    return OrderRecord(
        id=command.order_id,
        client_order_id=command.client_order_id,
        stock_code=command.stock_code,
        stock_name=validation.stock_name,
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
        expires_at=expires_at(
            hours, time_in_force=command.time_in_force, accepted_at=now, finished_at=None
        ),
        finished_at=None,
    )


def preview_order(uow: UnitOfWork, command: PlaceOrder) -> OrderPreview:
    """Return what an order would cost or bring in, without writing anything.

    Raise what ``place_order`` would raise.
    """
    session, settings, now = uow.session, uow.settings, uow.now
    market = market_snapshot(uow.quotes, command.stock_code)
    validation = validate_terms(uow, command, market, user_id=command.user_id)
    price = command.limit_price or (validation.tick.price if validation.tick else None)
    needed = required_cash(command, validation, quantity=command.quantity, settings=settings)
    taken_by = _order_with_client_order_id(session, command)
    if taken_by is not None:
        raise _client_order_id_taken(command, taken_by)
    if command.side is Side.BUY:
        available = available_cash(session, command.user_id)
        largest = _largest_quantity(available, validation, settings)
        if needed > available:
            raise InsufficientCash(needed=needed, available=available, largest_quantity=largest)
    else:
        held = held_shares(session, command.holding_key)
        largest = held.available
        if command.quantity > largest:
            raise _insufficient_quantity(session, command, held)
    amount = None if price is None else price * command.quantity
    return OrderPreview(
        stock_code=command.stock_code,
        stock_name=validation.stock_name,
        side=command.side,
        order_type=command.order_type,
        time_in_force=command.time_in_force,
        quantity=command.quantity,
        price=price,
        amount=amount,
        commission=None if amount is None else commission(amount, settings.commission_ppm),
        taxes=_taxes(command.side, amount, validation, now),
        reserved_cash=needed,
        largest_quantity=min(largest, settings.order_quantity_max),
        # is_due alone is not enough: without a fresh price a market sale is retried later, and an
        # IOC order beyond the market ends.
        fills_at_once=validation.is_due and validation.is_marketable,
        tick_age_ms=None if validation.tick is None else validation.tick.age_ms(now),
        lower_limit=None if validation.limits is None else validation.limits.lower,
        upper_limit=None if validation.limits is None else validation.limits.upper,
    )


def _taxes(
    side: Side, amount: int | None, validation: OrderValidation, now: datetime
) -> SaleTaxes | None:
    if amount is None:
        return None
    if side is Side.BUY:
        return SaleTaxes(0, 0)
    return sale_taxes(amount, market=validation.market, kind=validation.kind, on=trade_date(now))


def _insert(
    uow: UnitOfWork, command: PlaceOrder, validation: OrderValidation, *, reserved_cash: int
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
        "accepted_at": uow.now,
        "accepted_position": validation.position,
        "next_attempt_at": validation.next_attempt_at,
        "finished_at": None,
        "book_price": validation.book_price,
        "awaiting_first_print": validation.awaiting_first_print,
        "is_new_in_book": validation.book_price is not None,
        "request_id": command.request_id,
    }
    try:
        uow.session.execute(_INSERT_ORDER, order)
    except IntegrityError as conflict:
        if command.client_order_id is not None and "client_order_id" in str(conflict.orig):
            taken_by = _order_with_client_order_id(uow.session, command)
            raise _client_order_id_taken(command, taken_by) from None
        raise
    uow.emit(order_event(order, at=uow.now))


def _order_with_client_order_id(session: Session, command: PlaceOrder) -> UUID | None:
    """Return the id of the user's order that has this client order id already."""
    if command.client_order_id is None:
        return None
    own = (ORDERS.c.user_id == command.user_id) & (
        ORDERS.c.client_order_id == command.client_order_id
    )
    return session.scalar(select(ORDERS.c.id).where(own))


def _client_order_id_taken(command: PlaceOrder, taken_by: UUID | None) -> ClientOrderIdTaken:
    return ClientOrderIdTaken(
        client_order_id=command.client_order_id,
        order_id=None if taken_by is None else str(taken_by),
    )


def _reserve_cash(
    session: Session,
    command: PlaceOrder,
    validation: OrderValidation,
    *,
    needed: int,
    settings: Settings,
) -> None:
    if not reserve_cash(session, user_id=command.user_id, amount=needed):
        available = available_cash(session, command.user_id)
        raise InsufficientCash(
            needed=needed,
            available=available,
            largest_quantity=_largest_quantity(available, validation, settings),
        )


def _largest_quantity(available: int, validation: OrderValidation, settings: Settings) -> int:
    return largest_affordable_quantity(available, validation.price or 1, settings.commission_ppm)


def _insufficient_quantity(
    session: Session, command: PlaceOrder, held: HeldShares
) -> InsufficientQuantity:
    own = (ORDERS.c.user_id == command.user_id) & (ORDERS.c.stock_code == command.stock_code)
    reserved_by = session.scalars(
        select(ORDERS.c.id)
        .where(
            own,
            ORDERS.c.side == Side.SELL,
            ORDERS.c.status.in_(OPEN_STATUSES),
            # The refused order itself is in the table until its transaction is rolled back.
            ORDERS.c.id != command.order_id,
        )
        .order_by(ORDERS.c.id)
        .limit(_RESERVED_BY_MAX)
    )
    return InsufficientQuantity(
        needed=command.quantity,
        held=held.quantity,
        reserved=held.reserved,
        reserved_by=[str(order_id) for order_id in reserved_by],
    )
