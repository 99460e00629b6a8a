"""Amend the price or quantity of an open order and adjust its reservation.

What is executed stays. A new price or a larger quantity counts as a new arrival in the market: it
is validated like a new order and loses the order's time priority. A reduction, which leaves the
price unchanged and the quantity unchanged or smaller, keeps the priority as on the exchange. It is
a partial cancellation, so like a cancellation it is always possible while the order is open.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import order_event
from trading.errors import ValidationFailed
from trading.exchange.fees import largest_affordable_quantity
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.ledger.cash import lock_accounts, save
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.ledger.holdings import HoldingKey, held_shares, release_shares, reserve_shares
from trading.marketdata.ticks import Position
from trading.orders.close import discard_pending_fills, lock_own_order, unsettled_cost
from trading.orders.errors import OrderNotAmendable, OrderNotFound
from trading.orders.model import buy_reservation
from trading.orders.rows import LockedOrder
from trading.orders.tables import ORDERS
from trading.orders.validate import (
    MarketSnapshot,
    OrderTerms,
    OrderValidation,
    market_snapshot,
    required_cash,
    validate_terms,
)
from trading.tasks import Task, TaskRequest
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendOrder:
    """A change of an order's limit (won), of its whole quantity, or of both; None keeps the value.

    ``quantity`` includes the shares that are executed already.
    """

    order_id: UUID
    user_id: UUID
    limit_price: int | None = None
    quantity: int | None = None


def amend_order(uow: UnitOfWork, command: AmendOrder) -> None:
    """Amend an open order, and dispatch its execution if it may fill at once now.

    A limit order that may wait can be amended, a market order only be reduced.

    Raise OrderNotFound, OrderNotOpen (also when a fill came first), OrderNotAmendable, and
    ValidationFailed for a quantity that is not above what is executed. Except for a reduction,
    raise InsufficientCash, InsufficientQuantity and what ``validate_terms`` raises.
    """
    session = uow.session
    # Determined before the first statement, for `validate_terms`.
    _ = uow.hours
    market = market_snapshot(uow.quotes, _stock_of(session, command))
    order = lock_own_order(session, user_id=command.user_id, order_id=command.order_id)
    terms = _new_terms(order, command)
    if terms.quantity <= order.executed_quantity:
        raise ValidationFailed(field="quantity", minimum=order.executed_quantity + 1)
    if terms.limit_price == order.limit_price and terms.quantity <= order.quantity:
        _reduce(uow, order, terms)
    elif order.limit_price is None:
        raise OrderNotAmendable(order_type=order.order_type, time_in_force=order.time_in_force)
    else:
        _replace(uow, order, terms, market)
    uow.emit(
        order_event(
            order._asdict(), at=uow.now, quantity=terms.quantity, limit_price=terms.limit_price
        )
    )


def _reduce(uow: UnitOfWork, order: LockedOrder, terms: OrderTerms) -> None:
    """Take shares out of an order; it keeps its place and its pending fills."""
    session, settings = uow.session, uow.settings
    reserved_cash = order.reserved_cash
    if terms.side is Side.BUY:
        unsettled = unsettled_cost(session, [order.id]).get(order.id, 0)
        left = terms.quantity - order.executed_quantity
        if terms.limit_price is None:
            # What a market order reserves for its remaining shares, in proportion, rounded up.
            rest = -(-(reserved_cash - unsettled) * left // order.remaining_quantity)
        else:
            rest = buy_reservation(
                quantity=left,
                price=terms.limit_price,
                commission_ppm=settings.commission_ppm,
            )
        # Never more than before, even if the commission has been raised since.
        reserved_cash = min(reserved_cash, unsettled + rest)
        account = lock_accounts(session, [order.user_id])[order.user_id]
        account.release(order.reserved_cash - reserved_cash)
        save(uow, [account], [])
    else:
        key = HoldingKey(order.user_id, order.stock_code)
        release_shares(session, {key: order.quantity - terms.quantity})
    session.execute(
        update(ORDERS)
        .where(ORDERS.c.id == order.id)
        .values(quantity=terms.quantity, reserved_cash=reserved_cash)
    )


def _replace(
    uow: UnitOfWork, order: LockedOrder, terms: OrderTerms, market: MarketSnapshot
) -> None:
    """Give an order new terms, as if it arrived in the market now."""
    session = uow.session
    # On a quiet market the last trade may be long before the amendment.
    now = Position(int(uow.now.timestamp() * 1_000), 0)
    validation = validate_terms(uow, terms, market, user_id=order.user_id)
    if terms.side is Side.BUY:
        reserved_cash = _change_cash(uow, order, terms, validation)
    else:
        reserved_cash = 0
        _change_shares(session, order, added=terms.quantity - order.quantity)
    # Pending fills belong to the old terms; no trade up to now may fill the new ones.
    discard_pending_fills(session, [order.id])
    session.execute(
        update(ORDERS)
        .where(ORDERS.c.id == order.id)
        .values(
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            reserved_cash=reserved_cash,
            book_price=validation.book_price,
            awaiting_first_print=validation.awaiting_first_print,
            is_new_in_book=validation.book_price is not None,
            next_attempt_at=validation.next_attempt_at,
            accepted_position=max(validation.position, now.packed),
        )
    )
    if validation.is_due:
        uow.after_commit(TaskRequest(Task.EXECUTE_ORDERS, (order.id,)))


def _stock_of(session: Session, command: AmendOrder) -> str:
    own = (ORDERS.c.id == command.order_id) & (ORDERS.c.user_id == command.user_id)
    code: str | None = session.scalar(select(ORDERS.c.stock_code).where(own))
    if code is None:
        raise OrderNotFound
    return code


def _new_terms(order: LockedOrder, command: AmendOrder) -> OrderTerms:
    terms = OrderTerms(
        stock_code=order.stock_code,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        time_in_force=TimeInForce(order.time_in_force),
        quantity=order.quantity if command.quantity is None else command.quantity,
        limit_price=order.limit_price if command.limit_price is None else command.limit_price,
    )
    if not terms.time_in_force.may_wait:
        raise OrderNotAmendable(order_type=order.order_type, time_in_force=order.time_in_force)
    return terms


def _change_cash(
    uow: UnitOfWork, order: LockedOrder, terms: OrderTerms, validation: OrderValidation
) -> int:
    """Reserve or release the difference and return what the order reserves then (won).

    That is the cost of its unsettled fills and of the rest of its quantity at the new limit.
    """
    session, settings = uow.session, uow.settings
    unsettled = unsettled_cost(session, [order.id]).get(order.id, 0)
    rest = required_cash(
        terms, validation, quantity=terms.quantity - order.executed_quantity, settings=settings
    )
    difference = unsettled + rest - order.reserved_cash
    account = lock_accounts(session, [order.user_id])[order.user_id]
    account.ensure_no_debt()
    if difference > account.available:
        affordable = account.available + order.reserved_cash - unsettled
        largest = largest_affordable_quantity(
            affordable, validation.price or 1, settings.commission_ppm
        )
        raise InsufficientCash(
            needed=difference,
            available=account.available,
            largest_quantity=largest + order.executed_quantity,
        )
    if difference >= 0:
        account.reserve(difference)
    else:
        account.release(-difference)
    save(uow, [account], [])
    return unsettled + rest


def _change_shares(session: Session, order: LockedOrder, *, added: int) -> None:
    """Reserve or release the difference in shares."""
    key = HoldingKey(order.user_id, order.stock_code)
    if added <= 0:
        release_shares(session, {key: -added})
    elif not reserve_shares(session, key, added):
        held = held_shares(session, key)
        raise InsufficientQuantity(
            needed=added,
            held=held.quantity,
            reserved=held.reserved,
            reserved_by=[str(order.id)],
        )
