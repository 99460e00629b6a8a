"""Queries of one user's history read only that user's rows."""

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought


@pytest.mark.parametrize(
    ("index", "read"),
    [
        (
            "ix_order_executions_user_id_stock_code_realized_profit",
            (
                "SELECT stock_code, SUM(realized_profit) FROM order_executions WHERE user_id = "
                ":user AND realized_profit IS NOT NULL GROUP BY stock_code"
            ),
        ),
        (
            "ix_transactions_user_id_stock_code_sequence",
            (
                f"SELECT * FROM transactions WHERE user_id = :user AND stock_code = '{SAMSUNG}' "
                "ORDER BY sequence DESC LIMIT 21"
            ),
        ),
        (
            "ix_transactions_user_id_transaction_type_sequence",
            (
                "SELECT * FROM transactions WHERE user_id = :user AND transaction_type = 'FEE' "
                "ORDER BY sequence DESC LIMIT 21"
            ),
        ),
        (
            "uq_transactions_user_id_sequence",
            "SELECT * FROM transactions WHERE user_id = :user ORDER BY sequence DESC LIMIT 21",
        ),
    ],
)
def test_query_uses_its_index(server_harness: TradingHarness, index: str, read: str) -> None:
    """Without its index, the first query read every user's fills."""
    users = [server_harness.user() for _ in range(4)]
    for _ in range(15):
        for user in users:
            bought(server_harness, user, 1)
    explained = plan(server_harness, read, users[0])
    assert explained["key"] == index
    assert "filesort" not in (explained["Extra"] or "")


def plan(harness: TradingHarness, read: str, user: UUID) -> dict[str, str]:
    """Return the server's plan for a statement over one table."""

    def explain(session: Session) -> dict[str, str]:
        session.execute(text("ANALYZE TABLE transactions, order_executions")).all()
        return dict(
            session.execute(text(f"EXPLAIN FORMAT=TRADITIONAL {read}"), {"user": user.bytes})
            .mappings()
            .one()
        )

    return harness.core.read(explain)
