"""Change the trading of a stock: halt, resume, delist, liquidation trading, leverage.

Each use case informs the holders of the stock and the owners of its open orders by an account
event, in the same transaction. It returns what changed; a repetition changes nothing.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, union, update

from trading.account_events.new_events import stock_event
from trading.account_events.payloads import StockEventData
from trading.ledger.tables import PORTFOLIOS
from trading.orders.expire import end_delisted
from trading.orders.tables import ORDERS
from trading.stocks.errors import StockNotTradable
from trading.stocks.model import StockChange, StockStatus
from trading.stocks.queries import StockRecord, get_stock
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class ChangedStock:
    """A stock after a change; ``change`` is None if it was in that state already.

    ``informed`` is the number of users who got an event.
    """

    stock: StockRecord
    change: StockChange | None
    informed: int = 0


def halt_stock(uow: UnitOfWork, *, stock_code: str) -> ChangedStock:
    """Halt a stock: new orders are refused, open ones stay and do not fill.

    Raise StockNotFound, or StockNotTradable if the stock is delisted.
    """
    stock = _locked(uow, stock_code)
    if stock.status is StockStatus.HALTED:
        return ChangedStock(stock, None)
    if stock.status is StockStatus.DELISTED:
        raise StockNotTradable(stock_code=stock_code, stock_status=stock.status)
    return _change(
        uow,
        stock,
        StockChange.HALTED,
        status=StockStatus.HALTED,
        halted_at=uow.now,
        resumed_at=None,
    )


def resume_stock(uow: UnitOfWork, *, stock_code: str) -> ChangedStock:
    """Resume a halted stock. Its next trade is the result of a call auction.

    Also takes back a delisting that was a mistake. Raise StockNotFound.
    """
    stock = _locked(uow, stock_code)
    if stock.status is StockStatus.TRADABLE:
        return ChangedStock(stock, None)
    # A status from before halts were recorded has no begin.
    halted_at = stock.halted_at or uow.now
    return _change(
        uow,
        stock,
        StockChange.RESUMED,
        status=StockStatus.TRADABLE,
        halted_at=halted_at,
        resumed_at=max(uow.now, halted_at),
    )


def delist_stock(uow: UnitOfWork, *, stock_code: str) -> ChangedStock:
    """Delist a stock and cancel its open orders. Raise StockNotFound.

    One batch of orders ends at once; the periodic expiry ends the rest.
    """
    stock = _locked(uow, stock_code)
    if stock.status is StockStatus.DELISTED:
        return ChangedStock(stock, None)
    halted_at = uow.now if stock.status is StockStatus.TRADABLE else stock.halted_at
    changed = _change(
        uow,
        stock,
        StockChange.DELISTED,
        status=StockStatus.DELISTED,
        halted_at=halted_at,
        resumed_at=None,
    )
    end_delisted(uow)
    return changed


def set_liquidation(uow: UnitOfWork, *, stock_code: str, in_liquidation: bool) -> ChangedStock:
    """Start or end liquidation trading, which has no price limits; the status stays.

    Raise StockNotFound.
    """
    stock = _locked(uow, stock_code)
    if stock.in_liquidation is in_liquidation:
        return ChangedStock(stock, None)
    change = StockChange.LIQUIDATION_STARTED if in_liquidation else StockChange.LIQUIDATION_ENDED
    return _change(uow, stock, change, in_liquidation=in_liquidation)


def set_leverage(uow: UnitOfWork, *, stock_code: str, leverage_percent: int) -> ChangedStock:
    """Set the multiple of its index that a fund follows, in percent. Raise StockNotFound."""
    stock = _locked(uow, stock_code)
    if stock.leverage_percent == leverage_percent:
        return ChangedStock(stock, None)
    return _change(uow, stock, StockChange.LEVERAGE_CHANGED, leverage_percent=leverage_percent)


def _locked(uow: UnitOfWork, code: str) -> StockRecord:
    uow.session.execute(select(STOCKS.c.code).where(STOCKS.c.code == code).with_for_update())
    return get_stock(uow.session, code)


def _change(
    uow: UnitOfWork, stock: StockRecord, change: StockChange, **columns: object
) -> ChangedStock:
    uow.session.execute(
        update(STOCKS)
        .where(STOCKS.c.code == stock.stock_code)
        .values(**columns, updated_at=uow.now)
    )
    changed = get_stock(uow.session, stock.stock_code)
    data = StockEventData(
        stock_code=changed.stock_code,
        change=change,
        status=changed.status,
        leverage=changed.leverage,
        in_liquidation=changed.in_liquidation,
    )
    users = _holders_and_owners(uow, stock.stock_code)
    for user_id in users:
        uow.emit(stock_event(user_id, data, at=uow.now))
    return ChangedStock(changed, change, len(users))


def _holders_and_owners(uow: UnitOfWork, code: str) -> list[UUID]:
    """Return the users who hold a stock or have an open order for it, in ascending order."""
    holders = select(PORTFOLIOS.c.user_id).where(
        PORTFOLIOS.c.stock_code == code, PORTFOLIOS.c.quantity > 0
    )
    owners = select(ORDERS.c.user_id).where(
        ORDERS.c.stock_code == code, ORDERS.c.finished_at.is_(None)
    )
    return sorted(uow.session.scalars(union(holders, owners)))
