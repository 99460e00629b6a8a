"""Cash of accounts: balances, reservations and ledger entries.

This module and ``trading.ledger.holdings`` are the only ones that change balances, reservations
and share counts. An ``Account`` is a working copy of a locked row of virtual_balances. Each change
keeps its invariants or raises InvariantBroken, which is a programming error and never a refusal;
``save`` writes the copies back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from trading.account_events.new_events import cash_event
from trading.db.ids import new_id
from trading.db.statements import execute_rowcount
from trading.db.types import Won
from trading.db.upsert import upsert
from trading.ledger.errors import AccountOverdrawn
from trading.ledger.model import LedgerEntry, TransactionType
from trading.ledger.tables import TRANSACTIONS, VIRTUAL_BALANCES
from trading.unit_of_work import UnitOfWork

# Built once: every buy runs it, and building a statement takes longer than executing it.
_RESERVE_CASH = (
    update(VIRTUAL_BALANCES)
    .where(
        VIRTUAL_BALANCES.c.user_id == bindparam("owner"),
        VIRTUAL_BALANCES.c.cash_balance - VIRTUAL_BALANCES.c.reserved_cash
        >= bindparam("needed", type_=Won),
    )
    .values(reserved_cash=VIRTUAL_BALANCES.c.reserved_cash + bindparam("needed", type_=Won))
)


class InvariantBroken(Exception):
    """A change would break an invariant of cash or shares. The transaction is rolled back."""


class NewTransaction(NamedTuple):
    """One row of the table transactions, amounts in won."""

    id: UUID
    user_id: UUID
    sequence: int
    transaction_type: TransactionType
    stock_code: str | None
    order_id: UUID | None
    execution_id: UUID | None
    quantity: int | None
    price: int | None
    amount: int
    commission: int
    tax: int
    cash_before: int
    cash_after: int
    description: str | None
    transaction_date: datetime
    credit_of: UUID | None
    reversal_of: UUID | None


@dataclass(slots=True)
class Account:
    """One user's cash in won.

    ``reserved`` is what open and unsettled buys and open refunds reserve of ``cash``. ``debt`` is
    always the amount by which ``reserved`` exceeds ``cash``; it begins and grows only where money
    is taken back that the user may have spent. ``transaction_count`` is the number of ledger
    entries.
    """

    user_id: UUID
    cash: int
    reserved: int
    debt: int
    transaction_count: int

    @property
    def available(self) -> int:
        """Return what can be spent (won); negative by the debt, if there is one."""
        return self.cash - self.reserved

    def ensure_no_debt(self) -> None:
        """Raise AccountOverdrawn while there is a debt."""
        if self.debt:
            raise AccountOverdrawn(debt=self.debt)

    def reserve(self, amount: int) -> None:
        """Reserve ``amount`` won; the caller has checked that it is available."""
        self._ensure(0 <= amount <= max(self.available, 0))
        self.reserved += amount

    def release(self, amount: int) -> None:
        """Release ``amount`` reserved won."""
        self._ensure(0 <= amount <= self.reserved)
        self.reserved -= amount
        self._reduce_debt()

    def post(
        self, entry: LedgerEntry, *, reserved: int = 0, may_owe: bool = False
    ) -> NewTransaction:
        """Apply a cash movement to the balance and return its row.

        ``reserved`` won that were reserved for it are released with it. With ``may_owe`` the
        account may get into debt.
        """
        self._ensure(0 <= reserved <= self.reserved)
        before = self.cash
        self.reserved -= reserved
        self.cash += entry.cash_change
        self.transaction_count += 1
        if may_owe:
            self.debt = max(self.reserved - self.cash, 0)
        self._reduce_debt()
        trade = entry.trade
        return NewTransaction(
            id=entry.id or new_id(),
            user_id=self.user_id,
            sequence=self.transaction_count,
            transaction_type=entry.kind,
            stock_code=trade.stock_code if trade else None,
            order_id=trade.order_id if trade else None,
            execution_id=trade.execution_id if trade else None,
            quantity=trade.quantity if trade else None,
            price=trade.price if trade else None,
            amount=entry.amount,
            commission=entry.commission,
            tax=entry.tax,
            cash_before=before,
            cash_after=self.cash,
            description=entry.description,
            transaction_date=entry.at,
            credit_of=entry.credit_of,
            reversal_of=entry.reversal_of,
        )

    def _reduce_debt(self) -> None:
        """Set the debt to what is missing now, which can only have become less."""
        missing = max(self.reserved - self.cash, 0)
        self._ensure(missing <= self.debt)
        self.debt = missing

    def _ensure(self, holds: bool) -> None:  # noqa: FBT001 - reads as an assertion
        if not holds:
            raise InvariantBroken(
                f"account {self.user_id}: cash {self.cash}, reserved {self.reserved},"
                f" debt {self.debt}"
            )


def open_balance(uow: UnitOfWork, user_id: UUID, opening: LedgerEntry) -> None:
    """Create the balance of a new user, with ``opening`` as its first ledger entry."""
    uow.session.execute(
        insert(VIRTUAL_BALANCES).values(
            user_id=user_id,
            cash_balance=0,
            reserved_cash=0,
            debt=0,
            transaction_count=0,
            updated_at=uow.now,
        )
    )
    account = Account(user_id, cash=0, reserved=0, debt=0, transaction_count=0)
    save(uow, [account], [account.post(opening)])


def reserve_cash(session: Session, *, user_id: UUID, amount: int) -> bool:
    """Reserve ``amount`` won of an account; return False, changing nothing, if less is available.

    Check and change are one statement, so two orders cannot reserve the same won. Call it late in
    a transaction: the balance's row stays locked until the COMMIT.
    """
    return execute_rowcount(session, _RESERVE_CASH, {"owner": user_id, "needed": amount}) == 1


def available_cash(session: Session, user_id: UUID) -> int:
    """Return what an account can spend (won), without locking it. Raise AccountOverdrawn."""
    available: int = session.execute(
        select(VIRTUAL_BALANCES.c.cash_balance - VIRTUAL_BALANCES.c.reserved_cash).where(
            VIRTUAL_BALANCES.c.user_id == user_id
        )
    ).scalar_one()
    if available < 0:
        raise AccountOverdrawn(debt=-available)
    return available


def lock_accounts(session: Session, user_ids: Iterable[UUID]) -> dict[UUID, Account]:
    """Lock the balances of these users, by ascending id, and return them by user."""
    rows = session.execute(
        select(
            VIRTUAL_BALANCES.c.user_id,
            VIRTUAL_BALANCES.c.cash_balance,
            VIRTUAL_BALANCES.c.reserved_cash,
            VIRTUAL_BALANCES.c.debt,
            VIRTUAL_BALANCES.c.transaction_count,
        )
        .where(VIRTUAL_BALANCES.c.user_id.in_(sorted(set(user_ids))))
        .order_by(VIRTUAL_BALANCES.c.user_id)
        .with_for_update()
    )
    return {row[0]: Account(*row) for row in rows}


def save(
    uow: UnitOfWork, accounts: Iterable[Account], transactions: Sequence[NewTransaction]
) -> None:
    """Write locked accounts and their new ledger entries, with one statement for each table.

    Emit an event for each ledger entry.
    """
    if transactions:
        rows = [transaction._asdict() for transaction in transactions]
        uow.session.execute(insert(TRANSACTIONS), rows)
        for row in rows:
            uow.emit(cash_event(row))
    upsert(
        uow.session,
        VIRTUAL_BALANCES,
        [
            {
                "user_id": account.user_id,
                "cash_balance": account.cash,
                "reserved_cash": account.reserved,
                "debt": account.debt,
                "transaction_count": account.transaction_count,
                "updated_at": uow.now,
            }
            for account in accounts
        ],
        update=("cash_balance", "reserved_cash", "debt", "transaction_count", "updated_at"),
    )
