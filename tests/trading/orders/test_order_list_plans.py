"""Every filter of the list of orders reads only rows of its user, by an index."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought
from trading.exchange.order_types import Side, TimeInForce
from trading.orders.queries import OrderFilter, list_orders

OWN = {
    "ix_orders_user_id_id",
    "ix_orders_user_id_finished_at",
    "uq_orders_user_id_client_order_id",
    "PRIMARY",
}
OF_FILLS = {
    "ix_order_executions_user_id_executed_at",
    "ix_order_executions_user_id_stock_code_realized_profit",
    "uq_order_executions_order_id_fill_number",
    "PRIMARY",
}


def plans(engine: Engine, sent: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return the server's plan for each statement that reads orders, one row for each table."""
    with engine.connect() as connection:
        connection.execute(text("ANALYZE TABLE orders, order_executions")).all()
        return [
            dict(row)
            for statement, parameters in sent
            if "FROM orders" in statement
            for row in connection.exec_driver_sql(
                f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters
            ).mappings()
        ]


@pytest.mark.every_database
def test_every_filter_is_served_by_an_index(server_harness: TradingHarness) -> None:
    harness = server_harness
    users = [harness.user() for _ in range(16)]
    for number in range(10):
        for user in users:
            bought(harness, user, 1)
            harness.place(
                user,
                Side.BUY,
                1,
                limit=60_000,
                time_in_force=TimeInForce.GTC,
                client_order_id=f"my-{number}",
            )
            harness.run_all()
        harness.clock.advance(minutes=1)
    now = harness.clock()
    recent = now - timedelta(minutes=2)
    filters: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"statuses": ["FILLED", "CANCELLED"]}, None),
        ({"stock_codes": [SAMSUNG]}, None),
        ({"side": "SELL"}, None),
        ({"accepted_from": recent, "accepted_to": now}, None),
        ({"client_order_id": "my-3"}, "uq_orders_user_id_client_order_id"),
        ({"finished_from": recent, "finished_to": now}, "ix_orders_user_id_finished_at"),
        ({"filled_from": recent, "filled_to": now}, None),
        ({"is_open": True}, None),
        ({"is_open": False}, None),
    ]
    engine = harness.core.database.engine
    for wanted, index in filters:
        sent: list[tuple[str, Any]] = []

        def record(
            _connection: Any,
            _cursor: Any,
            statement: str,
            parameters: Any,
            *_rest: Any,
            sent: list[tuple[str, Any]] = sent,
        ) -> None:
            sent.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", record)
        try:
            page = harness.core.read(
                list_orders,
                user_id=users[0],
                wanted=OrderFilter(**wanted),
                limit=5,
                hours=harness.core.market_hours(),
            )
        finally:
            event.remove(engine, "before_cursor_execute", record)
        assert page.total == 0 if wanted == {"side": "SELL"} else page.total
        steps = plans(engine, sent)
        of_orders = [step["key"] for step in steps if step["table"] == "orders"]
        of_fills = [step["key"] for step in steps if step["table"] == "order_executions"]
        assert len(of_orders) == 2
        assert set(of_orders) <= ({index} if index else OWN), (wanted, steps)
        assert set(of_fills) <= OF_FILLS, (wanted, steps)
