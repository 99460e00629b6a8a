"""Write off the holdings of a delisted stock: remove the shares; their cost is a realized loss.

No cash moves, so there is no ledger entry. A row of ``holding_write_offs`` stores the loss, and an
account event shows the empty holding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from trading.db.ids import new_id
from trading.ledger.errors import StockNotDelisted
from trading.ledger.holdings import HoldingKey, LockedHolding, lock_holdings, save_holdings
from trading.ledger.positions import HoldingPosition
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
    lost: list[HoldingPosition] = []
    reserved = 0
    # A longer list of keys would make the database scan the table, and lock all of it.
    for start in range(0, len(keys), uow.settings.stage_batch_size):
        batch = keys[start : start + uow.settings.stage_batch_size]
        locked = lock_holdings(session, batch, opened=(), now=uow.now)
        free = [holding for holding in locked.values() if not holding.reserved]
        reserved += len(locked) - len(free)
        # Earlier releases kept the rows of sold holdings.
        free = [holding for holding in free if holding.position.quantity]
        lost += _write_off(uow, free, reason=reason)
    return WriteOffReport(
        stock_code=stock_code,
        stock_name=name,
        holdings=len(lost),
        quantity=sum(position.quantity for position in lost),
        loss=sum(position.cost + position.buy_commission for position in lost),
        reserved_holdings=reserved,
    )


def _write_off(
    uow: UnitOfWork, holdings: Sequence[LockedHolding], *, reason: str | None
) -> list[HoldingPosition]:
    """Write off locked holdings and return what was lost."""
    if not holdings:
        return []
    lost = {holding.key: holding.write_off() for holding in holdings}
    rows = [
        {
            "id": new_id(),
            "user_id": key.user_id,
            "stock_code": key.stock_code,
            "quantity": position.quantity,
            "cost": position.cost,
            "buy_commission": position.buy_commission,
            "reason": reason,
            "written_off_at": uow.now,
        }
        for key, position in lost.items()
    ]
    uow.session.execute(insert(HOLDING_WRITE_OFFS), rows)
    save_holdings(uow, holdings)
    return list(lost.values())


def _delisted_stock(session: Session, code: str) -> str:
    """Lock a delisted stock, so that it stays delisted, and return its name."""
    stock = session.execute(
        select(STOCKS.c.name, STOCKS.c.status).where(STOCKS.c.code == code).with_for_update()
    ).one_or_none()
    if stock is None:
        raise StockNotFound(stock_code=code)
    if stock.status != StockStatus.DELISTED:
        raise StockNotDelisted(stock_code=code, stock_name=stock.name)
    name: str = stock.name
    return name
