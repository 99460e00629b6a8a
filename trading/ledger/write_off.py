"""Write off the holdings of a delisted stock: the shares are gone, and their cost is lost.

No cash moves, so there is no ledger entry. A row of ``holding_write_offs`` keeps what was lost, and
the account's event shows the empty holding.
"""

from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from trading.db.ids import new_id
from trading.ledger.errors import StockNotDelisted
from trading.ledger.holdings import HoldingKey, lock_holdings, save_holdings
from trading.ledger.tables import HOLDING_WRITE_OFFS, PORTFOLIOS
from trading.stocks.errors import StockNotFound
from trading.stocks.model import StockStatus
from trading.stocks.tables import STOCKS
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOffReport:
    """Holdings and shares written off, and their cost with commission (won).

    ``reserved_holdings`` were left, because orders or fills still have to end.
    """

    stock_code: str
    stock_name: str
    holdings: int
    quantity: int
    loss: int
    reserved_holdings: int


def write_off_holdings(uow: UnitOfWork, *, stock_code: str, reason: str | None) -> WriteOffReport:
    """Write off all holdings of a delisted stock whose shares are not reserved by a sale.

    A second run writes off what is left. Raise StockNotFound, or StockNotDelisted for a stock that
    can still be traded.
    """
    session = uow.session
    name = _delisted_stock(session, stock_code)
    owners = session.scalars(
        select(PORTFOLIOS.c.user_id)
        .where(PORTFOLIOS.c.stock_code == stock_code)
        .order_by(PORTFOLIOS.c.user_id)
    )
    keys = [HoldingKey(user_id, stock_code) for user_id in owners]
    locked = lock_holdings(session, keys, opened=(), now=uow.now) if keys else {}
    free = [holding for holding in locked.values() if not holding.reserved]
    lost = {holding.key.user_id: holding.write_off() for holding in free}
    if lost:
        rows = [
            {
                "id": new_id(),
                "user_id": user_id,
                "stock_code": stock_code,
                "quantity": position.quantity,
                "cost": position.cost,
                "buy_commission": position.buy_commission,
                "reason": reason,
                "written_off_at": uow.now,
            }
            for user_id, position in lost.items()
        ]
        session.execute(insert(HOLDING_WRITE_OFFS), rows)
        save_holdings(uow, free)
    return WriteOffReport(
        stock_code=stock_code,
        stock_name=name,
        holdings=len(free),
        quantity=sum(position.quantity for position in lost.values()),
        loss=sum(position.cost + position.buy_commission for position in lost.values()),
        reserved_holdings=len(locked) - len(free),
    )


def _delisted_stock(session: Session, code: str) -> str:
    """Lock a delisted stock, so that no one relists it meanwhile, and return its name."""
    stock = session.execute(
        select(STOCKS.c.name, STOCKS.c.status).where(STOCKS.c.code == code).with_for_update()
    ).one_or_none()
    if stock is None:
        raise StockNotFound(stock_code=code)
    if stock.status != StockStatus.DELISTED:
        raise StockNotDelisted(stock_code=code, stock_name=stock.name)
    name: str = stock.name
    return name
