"""Shares of accounts: holdings, their reservations and their cost.

This module and ``trading.ledger.cash`` are the only ones that change balances, reservations and
share counts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, select, tuple_, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import holding_event
from trading.db.statements import execute_rowcount, force_primary_key
from trading.db.types import Shares
from trading.db.upsert import upsert
from trading.ledger.cash import InvariantBroken
from trading.ledger.positions import HoldingPosition, Sale
from trading.ledger.tables import PORTFOLIOS
from trading.unit_of_work import UnitOfWork

# Built once: every sale runs it, and building a statement takes longer than executing it.
_RESERVE_SHARES = (
    update(PORTFOLIOS)
    .where(
        PORTFOLIOS.c.user_id == bindparam("owner"),
        PORTFOLIOS.c.stock_code == bindparam("code"),
        PORTFOLIOS.c.quantity - PORTFOLIOS.c.reserved_quantity >= bindparam("needed", type_=Shares),
    )
    .values(reserved_quantity=PORTFOLIOS.c.reserved_quantity + bindparam("needed", type_=Shares))
)


class HoldingKey(NamedTuple):
    """The owner and the stock of a holding. Holdings are locked by ascending key."""

    user_id: UUID
    stock_code: str


class HeldShares(NamedTuple):
    """How many shares are held, and how many of them open sales reserve."""

    quantity: int
    reserved: int

    @property
    def available(self) -> int:
        """Return the shares that a new sale can reserve."""
        return self.quantity - self.reserved


class _HoldingRow(NamedTuple):
    """One row of the table portfolios, amounts in won."""

    user_id: UUID
    stock_code: str
    quantity: int
    reserved_quantity: int
    cost: int
    buy_commission: int
    realized_profit: int
    updated_at: datetime


@dataclass(slots=True)
class LockedHolding:
    """A working copy of a locked row of portfolios; ``save_holdings`` writes it back.

    ``realized_profit`` (won) is counted since the holding was opened; ``reserved`` is what open
    sales reserve of it (shares).
    """

    key: HoldingKey
    position: HoldingPosition
    realized_profit: int
    reserved: int

    def apply_purchase(self, *, quantity: int, amount: int, commission: int) -> None:
        """Add the bought shares; ``amount`` and ``commission`` in won."""
        self.position = self.position.bought(
            quantity=quantity, amount=amount, commission=commission
        )

    def apply_sale(self, *, quantity: int, amount: int, commission: int, tax: int) -> Sale:
        """Remove the sold shares with their reservation and return cost and profit of the sale."""
        self.position, sale = self.position.sold(
            quantity=quantity, amount=amount, commission=commission, tax=tax
        )
        self.realized_profit += sale.realized_profit
        self.reserved -= quantity
        return sale

    def write_off(self) -> HoldingPosition:
        """Remove all shares without proceeds and return them with their cost, which is lost."""
        lost, self.position = self.position, HoldingPosition()
        self.realized_profit -= lost.cost + lost.buy_commission
        return lost

    def ensure_consistent(self) -> None:
        """Raise InvariantBroken if more shares are reserved than held."""
        if not 0 <= self.reserved <= self.position.quantity:
            raise InvariantBroken(f"holding {self}")


def held_shares(session: Session, key: HoldingKey) -> HeldShares:
    """Return how many shares a user holds and reserves of a stock, without locking them."""
    row = session.execute(
        select(PORTFOLIOS.c.quantity, PORTFOLIOS.c.reserved_quantity).where(
            PORTFOLIOS.c.user_id == key.user_id, PORTFOLIOS.c.stock_code == key.stock_code
        )
    ).one_or_none()
    return HeldShares(*row) if row else HeldShares(0, 0)


def reserve_shares(session: Session, key: HoldingKey, quantity: int) -> bool:
    """Reserve shares for a sale; return False, changing nothing, if fewer are available.

    Check and change are one statement, so two orders cannot reserve the same share. Call it late
    in a transaction: the holding's row stays locked until the COMMIT.
    """
    values = {"owner": key.user_id, "code": key.stock_code, "needed": quantity}
    return execute_rowcount(session, _RESERVE_SHARES, values) == 1


def release_shares(session: Session, released: Mapping[HoldingKey, int]) -> None:
    """Release reserved shares of holdings, by ascending key."""
    for key, quantity in sorted(released.items()):
        session.execute(
            update(PORTFOLIOS)
            .where(PORTFOLIOS.c.user_id == key.user_id, PORTFOLIOS.c.stock_code == key.stock_code)
            .values(reserved_quantity=PORTFOLIOS.c.reserved_quantity - quantity)
        )


def lock_holdings(
    session: Session,
    keys: Collection[HoldingKey],
    *,
    opened: Collection[HoldingKey],
    now: datetime,
) -> dict[HoldingKey, LockedHolding]:
    """Lock holdings, by ascending key, and return them by key.

    Those in ``opened`` (which purchases may open) are first inserted empty where they do not exist:
    otherwise two workers that both found no row would both start from nothing.
    """
    upsert(
        session,
        PORTFOLIOS,
        [
            _row(LockedHolding(key, HoldingPosition(), 0, 0), now)._asdict()
            for key in sorted(set(opened))
        ],
        update=("user_id",),
    )
    wanted = (
        select(*(PORTFOLIOS.c[name] for name in _HoldingRow._fields))
        .where(tuple_(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code).in_(sorted(set(keys))))
        .order_by(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code)
    )
    rows = session.execute(force_primary_key(wanted, PORTFOLIOS).with_for_update())
    holdings = {}
    for row in map(_HoldingRow._make, rows):
        key = HoldingKey(row.user_id, row.stock_code)
        position = HoldingPosition(row.quantity, row.cost, row.buy_commission)
        holdings[key] = LockedHolding(key, position, row.realized_profit, row.reserved_quantity)
    return holdings


def save_holdings(uow: UnitOfWork, holdings: Iterable[LockedHolding]) -> None:
    """Write locked holdings and emit their events; delete those without shares."""
    kept, emptied = [], []
    for holding in sorted(holdings, key=lambda one: one.key):
        holding.ensure_consistent()
        row = _row(holding, uow.now)._asdict()
        uow.emit(holding_event(row))
        if holding.position.quantity:
            kept.append(row)
        else:
            emptied.append(holding.key)
    columns = tuple(name for name in _HoldingRow._fields if name not in HoldingKey._fields)
    upsert(uow.session, PORTFOLIOS, kept, update=columns)
    if emptied:
        uow.session.execute(
            delete(PORTFOLIOS).where(
                tuple_(PORTFOLIOS.c.user_id, PORTFOLIOS.c.stock_code).in_(emptied)
            )
        )


def _row(holding: LockedHolding, now: datetime) -> _HoldingRow:
    return _HoldingRow(
        user_id=holding.key.user_id,
        stock_code=holding.key.stock_code,
        quantity=holding.position.quantity,
        reserved_quantity=holding.reserved,
        cost=holding.position.cost,
        buy_commission=holding.position.buy_commission,
        realized_profit=holding.realized_profit,
        updated_at=now,
    )
