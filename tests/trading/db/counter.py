"""A counter in the database; the transaction runner must apply each of its steps once."""

from uuid import UUID

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.orm import Session

from tests.support.trading_harness import TradingHarness
from trading.db.transactions import Database


class Counter:
    """A counter that is stored in `transaction_count` of a new user's balance row."""

    def __init__(self, harness: TradingHarness) -> None:
        self.user_id: UUID = harness.user()
        self._start = 0
        self._start = self.value(harness.core.database)

    def step(self, session: Session) -> None:
        """Add one in a single statement, which locks the row until the transaction ends."""
        session.execute(
            text(
                "UPDATE virtual_balances SET transaction_count = transaction_count + 1"
                " WHERE user_id = :id"
            ),
            {"id": self.user_id.bytes},
        )

    def value(self, database: Database) -> int:
        """Return the number of committed steps."""
        return database.read(self.stored) - self._start

    def stored(self, session: Session) -> int:
        count = session.scalar(
            text("SELECT transaction_count FROM virtual_balances WHERE user_id = :id"),
            {"id": self.user_id.bytes},
        )
        return int(count or 0)


def connection_id(session: Session) -> int:
    """Return the server's number of the session's connection."""
    return int(session.scalar(text("SELECT CONNECTION_ID()")) or 0)


def kill(harness: TradingHarness, number: int) -> None:
    """End a connection from another one, as an operator or a failing server would."""
    engine = create_engine(harness.core.database.engine.url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"KILL CONNECTION {number}")
