"""Deposits and withdrawals of virtual cash by the user."""

from uuid import UUID

from trading.errors import ValidationFailed
from trading.halts.accounts import ensure_not_halted
from trading.ledger.cash import Account, lock_accounts, save
from trading.ledger.errors import CashLimitExceeded, InsufficientCash
from trading.ledger.model import LedgerEntry, TransactionType
from trading.ledger.records import TransactionRecord
from trading.unit_of_work import UnitOfWork


def deposit(
    uow: UnitOfWork, *, transaction_id: UUID, user_id: UUID, amount: int
) -> TransactionRecord:
    """Add ``amount`` won to the account.

    Raise ValidationFailed above the limit of one deposit, CashLimitExceeded above that of an
    account.
    """
    settings = uow.settings
    if not 0 < amount <= settings.deposit_max:
        raise ValidationFailed(field="amount", limit=settings.deposit_max)
    account = lock_accounts(uow.session, [user_id])[user_id]
    if account.cash + amount > settings.cash_max:
        raise CashLimitExceeded(limit=settings.cash_max)
    return _move(
        uow,
        account,
        TransactionType.DEPOSIT,
        transaction_id=transaction_id,
        amount=amount,
    )


def withdraw(
    uow: UnitOfWork, *, transaction_id: UUID, user_id: UUID, amount: int
) -> TransactionRecord:
    """Withdraw ``amount`` won of the available cash.

    Raise ValidationFailed above the limit of one withdrawal, AccountHalted, AccountOverdrawn or
    InsufficientCash.
    """
    if not 0 < amount <= uow.settings.deposit_max:
        raise ValidationFailed(field="amount", limit=uow.settings.deposit_max)
    account = lock_accounts(uow.session, [user_id])[user_id]
    ensure_not_halted(uow.session, user_id)
    account.ensure_no_debt()
    if amount > account.available:
        raise InsufficientCash(needed=amount, available=account.available)
    return _move(
        uow,
        account,
        TransactionType.WITHDRAW,
        transaction_id=transaction_id,
        amount=amount,
    )


def _move(
    uow: UnitOfWork,
    account: Account,
    kind: TransactionType,
    *,
    transaction_id: UUID,
    amount: int,
) -> TransactionRecord:
    row = account.post(LedgerEntry(kind=kind, amount=amount, at=uow.now, id=transaction_id))
    save(uow, [account], [row])
    return TransactionRecord(
        id=transaction_id,
        user_id=account.user_id,
        sequence=row.sequence,
        transaction_type=kind,
        stock_id=None,
        stock_name=None,
        order_id=None,
        quantity=None,
        price=None,
        amount=amount,
        commission=0,
        tax=0,
        realized_profit=None,
        cash_balance_before=row.cash_before,
        cash_balance_after=row.cash_after,
        description=None,
        transaction_date=uow.now,
    )
