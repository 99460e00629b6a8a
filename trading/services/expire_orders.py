"""The end of the day: DAY orders whose trading day is over expire, and orders for stocks that are no longer listed end with them."""

from datetime import datetime, timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from trading.database.tables import MatchCursor, Order, OrderTouch, Stock, table_of
from trading.rules.market_hours import MarketHours
from trading.rules.orders import EndReason, OrderEvent, TimeInForce
from trading.services.end_orders import LOCKED_COLUMNS, Ending, end_orders
from trading.settings import Settings

_ORDERS = table_of(Order)
_TOUCHES = table_of(OrderTouch)
_CURSORS = table_of(MatchCursor)
_STOCKS = table_of(Stock)

# A matcher says at least this often that it has read the stream to its end.
MATCHER_SILENCE_MAX = timedelta(seconds=15)

_TOUCHED = exists().where(_TOUCHES.c.order_id == _ORDERS.c.id)


def expire_orders(session: Session, *, hours: MarketHours, settings: Settings, now: datetime) -> int | None:
    """Expire one batch of DAY orders whose day has ended; how many. None while a matcher has not yet seen all of that day's trades.

    An order that was accepted after the last end of a day meets the next day's trades and is left alone. One that the matcher found filled
    before the end is the execution's, however late that comes.
    """
    if not _matchers_have_caught_up(session, settings=settings, now=now):
        return None
    ended = hours.day_end_before(now)
    orders = session.execute(
        select(*LOCKED_COLUMNS)
        .where(
            _ORDERS.c.finished_at.is_(None),
            _ORDERS.c.time_in_force == TimeInForce.DAY,
            _ORDERS.c.accepted_at < ended,
            ~_TOUCHED,
        )
        .order_by(_ORDERS.c.accepted_at, _ORDERS.c.id)
        .limit(settings.stage_batch_size)
        .with_for_update(skip_locked=True)
    ).all()
    endings = [Ending(order, OrderEvent.EXPIRE, EndReason.DAY_ENDED) for order in orders]
    end_orders(session, endings, now=now)
    return len(endings)


def end_delisted(session: Session, *, settings: Settings, now: datetime) -> int:
    """Cancel one batch of orders that wait in the book of a stock that is no longer listed; how many."""
    delisted = select(_STOCKS.c.code).where(_STOCKS.c.status == "DELISTED")
    orders = session.execute(
        select(*LOCKED_COLUMNS)
        .where(_ORDERS.c.stock_code.in_(delisted), _ORDERS.c.book_price.is_not(None), ~_TOUCHED)
        .limit(settings.stage_batch_size)
        .with_for_update(skip_locked=True)
    ).all()
    endings = [Ending(order, OrderEvent.CANCEL, EndReason.STOCK_NOT_TRADABLE) for order in orders]
    end_orders(session, endings, now=now)
    return len(endings)


def _matchers_have_caught_up(session: Session, *, settings: Settings, now: datetime) -> bool:
    """Whether all matchers have read the stream to its end just now. Where none ever ran there is nothing to wait for."""
    looked, last = session.execute(
        select(func.count(), func.min(_CURSORS.c.scanned_at)).where(_CURSORS.c.shards == settings.matcher_shards)
    ).one()
    if not looked:
        return True
    return bool(looked == settings.matcher_shards and last >= now - MATCHER_SILENCE_MAX)
