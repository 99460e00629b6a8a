"""Expire DAY orders after their trading day, and end orders for stocks that were delisted."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.exchange.order_types import TimeInForce
from trading.orders.close import OrderClosure, end_orders
from trading.orders.model import EndReason, OrderEvent
from trading.orders.rows import LOCKED_COLUMNS, LockedOrder
from trading.orders.tables import MATCH_CURSORS, ORDERS, PENDING_FILLS
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.tasks import AffectedIds
from trading.unit_of_work import UnitOfWork

_HAS_PENDING_FILLS = exists().where(PENDING_FILLS.c.order_id == ORDERS.c.id)


def expire_orders(uow: UnitOfWork) -> AffectedIds | None:
    """Expire one batch of DAY orders whose day has ended.

    Return None, changing nothing, while a matcher has not read all trades of that day. An order
    accepted after the last end of a day belongs to the next day and stays open. An order that
    the matcher found filled before the end is executed, however late.
    """
    hours, session, settings, now = uow.hours, uow.session, uow.settings, uow.now
    ended = hours.day_end_before(now)
    scanned_at = _slowest_scan(session, settings=settings, now=now)
    if scanned_at is None or hours.day_end_before(scanned_at) < ended:
        return None
    overdue = (
        ORDERS.c.finished_at.is_(None),
        ORDERS.c.time_in_force == TimeInForce.DAY,
        ORDERS.c.accepted_at < ended,
    )
    # The order of the index ix_orders_open. Without it the database may choose the primary key, and
    # read every order that was ever placed.
    by_acceptance = (ORDERS.c.accepted_at, ORDERS.c.id)
    return _end_batch(uow, overdue, by_acceptance, OrderEvent.EXPIRE, EndReason.DAY_ENDED)


def end_delisted(uow: UnitOfWork) -> AffectedIds:
    """Cancel one batch of orders in the book of a stock that is delisted."""
    delisted = select(STOCKS.c.code).where(STOCKS.c.status == StockStatus.DELISTED)
    in_its_book = (ORDERS.c.stock_code.in_(delisted), ORDERS.c.book_price.is_not(None))
    return _end_batch(uow, in_its_book, (), OrderEvent.CANCEL, EndReason.STOCK_NOT_TRADABLE)


def _end_batch(
    uow: UnitOfWork,
    conditions: Sequence[ColumnElement[bool]],
    order_by: Sequence[ColumnElement[object]],
    event: OrderEvent,
    reason: EndReason,
) -> AffectedIds:
    """End one batch of orders without pending fills.

    SKIP LOCKED: orders that another transaction holds are left for the next batch.
    """
    rows = uow.session.execute(
        select(*LOCKED_COLUMNS)
        .where(*conditions, ~_HAS_PENDING_FILLS)
        .order_by(*order_by)
        .limit(uow.settings.stage_batch_size)
        .with_for_update(skip_locked=True)
    )
    orders = [LockedOrder._make(row) for row in rows]
    end_orders(uow, [OrderClosure(order, event, reason) for order in orders])
    return AffectedIds.of_orders(orders)


def _slowest_scan(session: Session, *, settings: Settings, now: datetime) -> datetime | None:
    """Return when the slowest matcher last read the tick stream to its end.

    None while one of the current shards has never scanned. ``now`` if no matcher has ever run,
    because then there is nothing to wait for.
    """
    is_current = MATCH_CURSORS.c.shards == settings.matcher_shards
    cursors, current, slowest = session.execute(
        select(
            func.count(),
            func.count(case((is_current, 1))),
            func.min(case((is_current, MATCH_CURSORS.c.scanned_at))),
        )
    ).one()
    if not cursors:
        return now
    return slowest if current == settings.matcher_shards else None
