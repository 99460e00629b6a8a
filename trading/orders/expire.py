"""The end of the day: DAY orders whose trading day is over expire, and orders for stocks that are no longer listed end with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, select
from sqlalchemy.orm import Session

from trading.config.settings import Settings
from trading.exchange.hours import MarketHours
from trading.exchange.order_types import TimeInForce
from trading.orders.close import LOCKED_COLUMNS, OrderClosure, end_orders
from trading.orders.model import EndReason, OrderEvent
from trading.orders.tables import (
    MATCH_CURSORS,
    ORDERS,
    PENDING_FILLS,
)
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.tasks import AffectedIds

_TOUCHED = exists().where(PENDING_FILLS.c.order_id == ORDERS.c.id)


def expire_orders(
    session: Session, *, hours: MarketHours, settings: Settings, now: datetime
) -> AffectedIds | None:
    """Expire one batch of DAY orders whose day has ended. None while a matcher has not yet seen all of that day's trades.

    An order that was accepted after the last end of a day meets the next day's trades and is left alone. One that the matcher found filled
    before the end is the execution's, however late that comes.
    """
    ended = hours.day_end_before(now)
    looked_at = _looked_at(session, settings=settings, now=now)
    if looked_at is None or hours.day_end_before(looked_at) < ended:
        return None
    over = (
        ORDERS.c.finished_at.is_(None),
        ORDERS.c.time_in_force == TimeInForce.DAY,
        ORDERS.c.accepted_at < ended,
    )
    # In the order of the index, which a database would else leave for that of the ids, and so read every order there ever was.
    by_acceptance = (ORDERS.c.accepted_at, ORDERS.c.id)
    return _end_some(
        session,
        over,
        by_acceptance,
        OrderEvent.EXPIRE,
        EndReason.DAY_ENDED,
        settings=settings,
        now=now,
    )


def end_delisted(session: Session, *, settings: Settings, now: datetime) -> AffectedIds:
    """Cancel one batch of orders that wait in the book of a stock that is no longer listed."""
    delisted = select(STOCKS.c.code).where(STOCKS.c.status == StockStatus.DELISTED)
    in_its_book = (ORDERS.c.stock_code.in_(delisted), ORDERS.c.book_price.is_not(None))
    return _end_some(
        session,
        in_its_book,
        (),
        OrderEvent.CANCEL,
        EndReason.STOCK_NOT_TRADABLE,
        settings=settings,
        now=now,
    )


def _end_some(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    event: OrderEvent,
    reason: EndReason,
    *,
    settings: Settings,
    now: datetime,
) -> AffectedIds:
    """End one batch of orders for which nothing was found; those that somebody else holds are left for the next one."""
    orders = session.execute(
        select(*LOCKED_COLUMNS, ORDERS.c.request_id)
        .where(*conditions, ~_TOUCHED)
        .order_by(*order)
        .limit(settings.stage_batch_size)
        .with_for_update(skip_locked=True)
    ).all()
    end_orders(session, [OrderClosure(one, event, reason) for one in orders], now=now)
    return AffectedIds.of_orders(orders)


def _looked_at(session: Session, *, settings: Settings, now: datetime) -> datetime | None:
    """When the slowest matcher last read the stream to its end; None while one has not looked at all. Where none ever ran there is nothing to
    wait for."""
    of_now = MATCH_CURSORS.c.shards == settings.matcher_shards
    cursors, looked, slowest = session.execute(
        select(
            func.count(),
            func.count(case((of_now, 1))),
            func.min(case((of_now, MATCH_CURSORS.c.scanned_at))),
        )
    ).one()
    if not cursors:
        return now
    return slowest if looked == settings.matcher_shards else None
