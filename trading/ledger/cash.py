"""Accounts under lock: the only way by which cash moves or is set aside.

An ``Account`` is a locked row of virtual_balances as a working copy. Each change keeps its invariants or raises InvariantBroken, which is a
fault of ours and never a refusal; ``save`` writes the copies back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from trading.account_events.record import emit_cash_event
from trading.db.ids import new_id
from trading.db.upsert import upsert
from trading.ledger.errors import AccountOverdrawn
from trading.ledger.model import TransactionType, cash_change
from trading.ledger.tables import TRANSACTIONS, VIRTUAL_BALANCES


class InvariantBroken(Exception):
    """What must always hold would no longer hold. The transaction is rolled back; this is a fault of ours."""


@dataclass(slots=True)
class Account:
    """One user's cash in won: the balance, what open and unsettled buys and open refunds reserve of it, what is missing for them, and how
    many Transactions made it.

    The debt is always what the reserved cash exceeds the balance by. It begins and grows only where money is taken back that the user may have spent.
    """

    user_id: UUID
    cash: int
    reserved: int
    debt: int
    transaction_count: int

    @property
    def available(self) -> int:
        """What can be spent; below zero by the debt, if there is one."""
        return self.cash - self.reserved

    def ensure_no_debt(self) -> None:
        """Raises AccountOverdrawn while there is a debt."""
        if self.debt:
            raise AccountOverdrawn(debt=self.debt)

    def reserve(self, amount: int) -> None:
        """Set ``amount`` won aside; the caller has seen that it is available."""
        self._ensure(0 <= amount <= max(self.available, 0))
        self.reserved += amount

    def release(self, amount: int) -> None:
        """Give back ``amount`` won that were set aside."""
        self._ensure(0 <= amount <= self.reserved)
        self.reserved -= amount
        self._repay()

    def post(
        self,
        kind: TransactionType,
        *,
        amount: int,
        at: datetime,
        commission: int = 0,
        tax: int = 0,
        description: str | None = None,
        transaction_id: UUID | None = None,
        trade: dict[str, Any] | None = None,
        reserved: int = 0,
        may_owe: bool = False,
        credit_of: UUID | None = None,
        reversal_of: UUID | None = None,
    ) -> dict[str, Any]:
        """Move cash and return the Transaction's row. ``trade`` has stock_code, order_id, execution_id, quantity and price.

        ``reserved`` won that were set aside for this are released with it. With ``may_owe`` the account may get into debt.
        """
        self._ensure(0 <= reserved <= self.reserved)
        before = self.cash
        self.reserved -= reserved
        self.cash += cash_change(kind, amount=amount, commission=commission, tax=tax)
        self.transaction_count += 1
        if may_owe:
            self.debt = max(self.reserved - self.cash, 0)
        self._repay()
        facts = trade or {
            "stock_code": None,
            "order_id": None,
            "execution_id": None,
            "quantity": None,
            "price": None,
        }
        return {
            "id": transaction_id or new_id(),
            "user_id": self.user_id,
            "sequence": self.transaction_count,
            "transaction_type": kind,
            **facts,
            "amount": amount,
            "commission": commission,
            "tax": tax,
            "cash_before": before,
            "cash_after": self.cash,
            "description": description,
            "transaction_date": at,
            "credit_of": credit_of,
            "reversal_of": reversal_of,
        }

    def _repay(self) -> None:
        """Let the debt follow what is missing, which only became less."""
        missing = max(self.reserved - self.cash, 0)
        self._ensure(missing <= self.debt)
        self.debt = missing

    def _ensure(self, holds: bool) -> None:  # noqa: FBT001 - reads as the sentence that it is
        if not holds:
            raise InvariantBroken(
                f"account {self.user_id}: cash {self.cash}, reserved {self.reserved}, debt {self.debt}"
            )


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
    session: Session,
    accounts: Iterable[Account],
    transactions: list[dict[str, Any]],
    *,
    now: datetime,
) -> None:
    """Write the locked accounts back and their new Transactions, a statement each."""
    if transactions:
        session.execute(insert(TRANSACTIONS), transactions)
        for transaction in transactions:
            emit_cash_event(session, transaction)
    upsert(
        session,
        VIRTUAL_BALANCES,
        [
            {
                "user_id": account.user_id,
                "cash_balance": account.cash,
                "reserved_cash": account.reserved,
                "debt": account.debt,
                "transaction_count": account.transaction_count,
                "updated_at": now,
            }
            for account in accounts
        ],
        update=("cash_balance", "reserved_cash", "debt", "transaction_count", "updated_at"),
    )
