"""Errors of watchlists."""

from trading.errors import DomainError


class WatchlistDirectoryNotFound(DomainError):
    code = "watchlist-directory-not-found"


class WatchlistDirectoryNotEmpty(DomainError):
    """Facts: `item_count`, the number of stocks in the directory."""

    code = "watchlist-directory-not-empty"


class WatchlistNameTaken(DomainError):
    code = "watchlist-name-taken"


class WatchlistDefaultStays(DomainError):
    """The default directory cannot be deleted."""

    code = "watchlist-default-stays"


class WatchlistItemNotFound(DomainError):
    code = "watchlist-item-not-found"


class WatchlistDuplicate(DomainError):
    """Facts: `stock_code`, and `directory_id`, the directory that already has it."""

    code = "watchlist-duplicate"


class WatchlistLimitReached(DomainError):
    """Facts: `limit`, and `limited`, which is "directories" or "items" (of a directory)."""

    code = "watchlist-limit-reached"


class WatchlistOrderMismatch(DomainError):
    """The new order must name each item once. Facts: `missing` and `unknown` ids."""

    code = "watchlist-order-mismatch"
