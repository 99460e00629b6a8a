"""Amendment: another price or quantity for an open limit order. What is executed stays, what is reserved follows to the won and the share.

A new price or a larger quantity is a new arrival in the market and goes behind the others at its price; a smaller quantity keeps its place, as on
the exchange.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trading.account_events.record import emit_order_event
from trading.config.settings import Settings
from trading.db.statements import AnyRow, execute_rowcount
from trading.db.transactions import after_commit
from trading.errors import ValidationFailed
from trading.exchange.fees import largest_affordable_quantity
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.ledger.cash import lock_accounts, save
from trading.ledger.errors import InsufficientCash, InsufficientQuantity
from trading.ledger.tables import PORTFOLIOS
from trading.marketdata.quotes import QuoteStore
from trading.orders.close import (
    LOCKED_COLUMNS,
    discard_pending_fills,
    lock_own_order,
    unsettled_cost,
)
from trading.orders.errors import OrderNotAmendable, OrderNotFound
from trading.orders.tables import ORDERS
from trading.orders.validate import (
    OrderTerms,
    OrderValidation,
    market_snapshot,
    required_cash,
    validate_terms,
)
from trading.tasks import Task, TaskRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendOrder:
    """What is to change of one's order: its limit (won), its whole quantity (shares, those already executed included), or both; None keeps."""

    order_id: UUID
    user_id: UUID
    limit_price: int | None = None
    quantity: int | None = None


def amend_order(
    session: Session,
    command: AmendOrder,
    *,
    quotes: QuoteStore,
    hours: MarketHours,
    settings: Settings,
    now: datetime,
) -> None:
    """Amend an open limit order, and wake its execution where it may fill at once now.

    Raises OrderNotFound, OrderNotOpen (a fill that came first has won), OrderNotAmendable, ValidationFailed for a quantity that is not above what is
    executed, InsufficientCash, InsufficientQuantity, and what ``trading.orders.validate.stand`` does.
    """
    market = market_snapshot(quotes, _stock_of(session, command))
    order = lock_own_order(
        session, user_id=command.user_id, order_id=command.order_id, columns=LOCKED_COLUMNS
    )
    terms = _new_terms(order, command)
    if terms.quantity <= order.executed_quantity:
        raise ValidationFailed(field="quantity", minimum=order.executed_quantity + 1)
    standing = validate_terms(
        session, terms, market, user_id=command.user_id, hours=hours, settings=settings, now=now
    )
    if terms.side is Side.BUY:
        reserved_cash = _change_cash(session, order, terms, standing, settings=settings, now=now)
    else:
        reserved_cash = 0
        _change_shares(session, order, added=terms.quantity - order.quantity)
    changes: dict[str, Any] = {
        "quantity": terms.quantity,
        "limit_price": terms.limit_price,
        "reserved_cash": reserved_cash,
    }
    if terms.limit_price != order.limit_price or terms.quantity > order.quantity:
        # What was found for the old terms is not for the new ones, which no trade up to now may fill.
        discard_pending_fills(session, [order.id])
        changes |= {
            "book_price": standing.book_price,
            "awaiting_first_print": standing.awaiting_first_print,
            "next_attempt_at": standing.next_attempt_at,
            "accepted_position": standing.position,
        }
        if standing.is_due:
            after_commit(session, TaskRequest(Task.EXECUTE_ORDERS, (order.id,)))
    session.execute(update(ORDERS).where(ORDERS.c.id == order.id).values(**changes))
    emit_order_event(
        session, order._asdict(), at=now, quantity=terms.quantity, limit_price=terms.limit_price
    )


def _stock_of(session: Session, command: AmendOrder) -> str:
    mine = (ORDERS.c.id == command.order_id) & (ORDERS.c.user_id == command.user_id)
    code: str | None = session.scalar(select(ORDERS.c.stock_code).where(mine))
    if code is None:
        raise OrderNotFound
    return code


def _new_terms(order: AnyRow, command: AmendOrder) -> OrderTerms:
    terms = OrderTerms(
        stock_code=order.stock_code,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        time_in_force=TimeInForce(order.time_in_force),
        quantity=order.quantity if command.quantity is None else command.quantity,
        limit_price=order.limit_price if command.limit_price is None else command.limit_price,
    )
    if terms.is_immediate:
        raise OrderNotAmendable(order_type=order.order_type, time_in_force=order.time_in_force)
    return terms


def _change_cash(
    session: Session,
    order: AnyRow,
    terms: OrderTerms,
    standing: OrderValidation,
    *,
    settings: Settings,
    now: datetime,
) -> int:
    """Reserve or release the difference; what the order reserves then (won): its unsettled fills and the rest at the new limit."""
    unsettled = unsettled_cost(session, [order.id]).get(order.id, 0)
    rest = required_cash(
        terms, standing, quantity=terms.quantity - order.executed_quantity, settings=settings
    )
    difference = unsettled + rest - order.reserved_cash
    account = lock_accounts(session, [order.user_id])[order.user_id]
    account.ensure_no_debt()
    if difference > account.available:
        affordable = account.available + order.reserved_cash - unsettled
        largest = largest_affordable_quantity(
            affordable, standing.price or 1, settings.commission_ppm
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
    save(session, [account], [], now=now)
    return unsettled + rest


def _change_shares(session: Session, order: AnyRow, *, added: int) -> None:
    """Reserve or release the difference in shares."""
    mine = (PORTFOLIOS.c.user_id == order.user_id) & (PORTFOLIOS.c.stock_code == order.stock_code)
    met = execute_rowcount(
        session,
        update(PORTFOLIOS)
        .where(mine, PORTFOLIOS.c.quantity - PORTFOLIOS.c.reserved_quantity >= added)
        .values(reserved_quantity=PORTFOLIOS.c.reserved_quantity + added),
    )
    if met != 1:
        held = session.execute(
            select(PORTFOLIOS.c.quantity, PORTFOLIOS.c.reserved_quantity).where(mine)
        ).one()
        raise InsufficientQuantity(
            needed=added,
            held=held.quantity,
            reserved=held.reserved_quantity,
            reserved_by=[str(order.id)],
        )
