"""A market order from acceptance to the holding, stage by stage."""

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.exchange.order_types import Side
from trading.tasks import Task


def test_buy_goes_through_all_stages(harness: TradingHarness) -> None:
    user = harness.user()
    harness.tick(70_000)

    order = harness.place(user, Side.BUY, 10)

    assert order.reserved_cash == 714_000 + 107  # 10 shares at 70,000 + 2 %, and 0.015 % of that
    assert [request.task for request in harness.sent] == [Task.EXECUTE_ORDERS]
    harness.run_all()
    filled = harness.order(user, order.id)
    assert filled.status == "FILLED"
    assert filled.reserved_cash == 0
    (execution,) = filled.executions
    assert (execution.price, execution.amount, execution.commission) == (70_000, 700_000, 105)
    assert execution.applied_at is not None
    assert harness.breaches() == []


def test_sale_records_its_realised_profit(harness: TradingHarness) -> None:
    """The profit bears the commissions of both sides and both taxes."""
    user = harness.user()
    harness.tick(70_000)
    harness.place(user, Side.BUY, 10)
    harness.run_all()
    harness.tick(80_000)

    order = harness.place(user, Side.SELL, 4, SAMSUNG)
    harness.run_all()

    (sale,) = harness.order(user, order.id).executions
    assert (sale.amount, sale.commission, sale.transaction_tax, sale.rural_tax) == (
        320_000,
        48,
        160,
        480,
    )
    assert sale.realized_profit == 320_000 - 48 - 160 - 480 - 280_000 - 42
    assert harness.breaches() == []
