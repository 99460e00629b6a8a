"""Refusals about watchlists."""

from trading.errors import DomainError


class WatchlistDirectoryNotFound(DomainError):
    code = "watchlist-directory-not-found"


class WatchlistDirectoryNotEmpty(DomainError):
    """Facts: ``item_count``, how many stocks would go with it."""

    code = "watchlist-directory-not-empty"


class WatchlistNameTaken(DomainError):
    code = "watchlist-name-taken"


class WatchlistDefaultStays(DomainError):
    """The default directory can't be deleted."""

    code = "watchlist-default-stays"


class WatchlistItemNotFound(DomainError):
    code = "watchlist-item-not-found"


class WatchlistDuplicate(DomainError):
    """Facts: ``stock_code``, and ``directory_id``, the directory that has it already."""

    code = "watchlist-duplicate"


class WatchlistLimitReached(DomainError):
    """Facts: ``limit``, the most directories of a user or items of a directory; ``limited`` says which of the two."""

    code = "watchlist-limit-reached"


class WatchlistOrderMismatch(DomainError):
    """An order that is not of exactly the items there are. Facts: the ids that are ``missing`` from it, and those that are ``unknown`` to the
    directory."""

    code = "watchlist-order-mismatch"
