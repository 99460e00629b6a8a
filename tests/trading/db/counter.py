"""A counter in the database, for tests of the transaction runner: each step is one effect that must not be lost or doubled."""

from uuid import UUID

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.orm import Session

from tests.support.trading_harness import TradingHarness
from trading.db.transactions import Database


class Counter:
    """One row's ``transaction_count``, as good a number as any; a user's account holds it."""

    def __init__(self, harness: TradingHarness) -> None:
        self.user_id: UUID = harness.user()
        self._start = 0
        self._start = self.value(harness.core.database)

    def step(self, session: Session) -> None:
        """Count one up in a single statement, which locks the row until the transaction ends."""
        session.execute(
            text(
                "UPDATE virtual_balances SET transaction_count = transaction_count + 1 WHERE user_id = :id"
            ),
            {"id": self.user_id.bytes},
        )

    def value(self, database: Database) -> int:
        """The steps that are committed."""
        return database.read(self.seen) - self._start

    def seen(self, session: Session) -> int:
        found = session.scalar(
            text("SELECT transaction_count FROM virtual_balances WHERE user_id = :id"),
            {"id": self.user_id.bytes},
        )
        return int(found or 0)


def connection_id(session: Session) -> int:
    """The server's number of the session's connection."""
    return int(session.scalar(text("SELECT CONNECTION_ID()")) or 0)


def kill(harness: TradingHarness, number: int) -> None:
    """End a connection from outside, as an operator or a failing server would."""
    operator = create_engine(harness.core.database.engine.url, poolclass=NullPool)
    with operator.connect() as connection:
        connection.exec_driver_sql(f"KILL CONNECTION {number}")
