"""Deposits and withdrawals of virtual cash by the user."""

from dataclasses import dataclass
from uuid import UUID

from trading.errors import ValidationFailed
from trading.halts.accounts import ensure_not_halted
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.errors import CashLimitExceeded, InsufficientCash
from trading.ledger.model import LedgerEntry, TransactionType
from trading.ledger.records import TransactionRecord
from trading.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCash:
    """Command to deposit or withdraw ``amount`` won as ledger entry ``transaction_id``."""

    transaction_id: UUID
    user_id: UUID
    amount: int


def deposit(uow: UnitOfWork, command: MoveCash) -> TransactionRecord:
    """Add the amount to the account's cash.

    Raise ValidationFailed above the limit of one deposit, CashLimitExceeded above that of an
    account.
    """
    settings, amount = uow.settings, command.amount
    if not 0 < amount <= settings.deposit_max:
        raise ValidationFailed(field="amount", limit=settings.deposit_max)
    account = lock_accounts(uow.session, [command.user_id])[command.user_id]
    if account.cash + amount > settings.cash_max:
        raise CashLimitExceeded(limit=settings.cash_max)
    return _move(uow, account, TransactionType.DEPOSIT, command)


def withdraw(uow: UnitOfWork, command: MoveCash) -> TransactionRecord:
    """Take the amount out of the available cash.

    Raise ValidationFailed above the limit of one withdrawal, AccountHalted, AccountOverdrawn or
    InsufficientCash.
    """
    user_id, amount = command.user_id, command.amount
    if not 0 < amount <= uow.settings.deposit_max:
        raise ValidationFailed(field="amount", limit=uow.settings.deposit_max)
    account = lock_accounts(uow.session, [user_id])[user_id]
    ensure_not_halted(uow.session, user_id)
    account.ensure_no_debt()
    if amount > account.available:
        raise InsufficientCash(needed=amount, available=account.available)
    return _move(uow, account, TransactionType.WITHDRAW, command)


def _move(
    uow: UnitOfWork, account: Account, kind: TransactionType, command: MoveCash
) -> TransactionRecord:
    entry = LedgerEntry(kind=kind, amount=command.amount, at=uow.now, id=command.transaction_id)
    row = account.post(entry)
    save(uow, [account], [row])
    return TransactionRecord(
        id=command.transaction_id,
        user_id=account.user_id,
        sequence=row.sequence,
        transaction_type=kind,
        stock_id=None,
        stock_name=None,
        order_id=None,
        quantity=None,
        price=None,
        amount=command.amount,
        commission=0,
        tax=0,
        realized_profit=None,
        cash_balance_before=row.cash_before,
        cash_balance_after=row.cash_after,
        description=None,
        transaction_date=uow.now,
    )
