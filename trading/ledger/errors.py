"""Domain errors about cash, shares and ledger entries."""

from trading.errors import DomainError


class InsufficientCash(DomainError):
    """Facts: ``needed`` and ``available`` in won; for orders ``largest_quantity`` in shares."""

    code = "insufficient-cash"


class InsufficientQuantity(DomainError):
    """Facts: ``needed``, ``held`` and ``reserved`` in shares.

    ``reserved_by`` are the ids of the open sell orders that reserve them.
    """

    code = "insufficient-quantity"


class CashLimitExceeded(DomainError):
    """Facts: ``limit`` in won, the maximum balance of an account."""

    code = "cash-limit-exceeded"


class AccountOverdrawn(DomainError):
    """Money was taken back that the user had spent.

    Facts: ``debt`` in won, which must be paid in before anything can be spent.
    """

    code = "account-overdrawn"


class TransactionNotFound(DomainError):
    code = "transaction-not-found"


class StockNotDelisted(DomainError):
    """Facts: ``stock_code`` and ``stock_name``. Only delisted stocks are written off."""

    code = "stock-not-delisted"
