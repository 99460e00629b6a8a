"""Recognize a database of this product by its revision and tables."""

from collections.abc import Collection
from dataclasses import dataclass

from trading.observability.logs.lines import visible
from trading.operations.backups.files import BackupFailed

VERSION_TABLE = "alembic_version"
# The tables that every revision has under the same name.
CORE_TABLES = frozenset(
    {
        VERSION_TABLE,
        "order_executions",
        "orders",
        "portfolios",
        "stocks",
        "transactions",
        "users",
        "virtual_balances",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The schema revisions that this release has, the newest of them, and its tables."""

    revisions: frozenset[str]
    newest: str
    tables: frozenset[str]

    def require_schema(self, revision: str | None, tables: Collection[str], *, source: str) -> str:
        """Return the revision of a database or backup of this product.

        Raise BackupFailed if tables of the revision are missing, or the revision is unknown.
        ``source`` begins the message.
        """
        self.require_tables(tables, source=source)
        if revision is None:
            raise BackupFailed(f"{source} has no revision: run flask db upgrade.")
        if revision not in self.revisions:
            raise BackupFailed(
                f"{source} is at revision {visible(revision)}, which this release does not have:"
                " use the release that migrated it."
            )
        if revision == self.newest:
            _require(self.tables, tables, source=source)
        return revision

    @staticmethod
    def require_tables(tables: Collection[str], *, source: str) -> None:
        """Raise BackupFailed unless the tables of every revision are among ``tables``."""
        if not CORE_TABLES & set(tables):
            raise BackupFailed(f"{source} has none of this product's tables.")
        _require(CORE_TABLES, tables, source=source)


def _require(needed: Collection[str], tables: Collection[str], *, source: str) -> None:
    missing = sorted(set(needed) - set(tables))
    if missing:
        raise BackupFailed(f"{source} lacks this product's tables {', '.join(missing)}.")
