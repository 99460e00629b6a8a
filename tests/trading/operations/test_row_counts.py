"""Row counts of tables."""

from sqlalchemy import text

from tests.support.trading_harness import TradingHarness
from trading.operations.row_counts import RowCount, row_counts


def test_small_tables_are_counted(harness: TradingHarness) -> None:
    for _ in range(3):
        harness.user()

    found = harness.core.read(row_counts)

    assert found["users"] == RowCount(3, estimated=False)
    assert found["orders"] == RowCount(0, estimated=False)
    assert set(found) == {"users", "orders", "order_executions", "transactions", "account_events"}


def test_large_tables_are_estimated(harness: TradingHarness) -> None:
    """By the server's statistics, without reading rows."""
    for _ in range(40):
        harness.user()
    if harness.core.database.engine.dialect.name != "sqlite":
        with harness.core.database.engine.begin() as connection:
            connection.execute(text("ANALYZE TABLE users, orders"))

    found = harness.core.read(row_counts, counted_max=10)

    assert found["users"].estimated
    assert 30 <= found["users"].rows <= 50
    assert found["orders"] == RowCount(0, estimated=False)
