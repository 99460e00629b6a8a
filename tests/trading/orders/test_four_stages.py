"""A market order from acceptance to the holding, stage by stage."""

from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.exchange.order_types import Side
from trading.tasks import Task


def test_a_buy_goes_through_all_stages(books: TradingHarness) -> None:
    """What is reserved is spent, what is left over is released, and the shares are there."""
    user = books.user()
    books.tick(70_000)

    order = books.place(user, Side.BUY, 10)

    assert order.reserved_cash == 714_000 + 107  # 10 shares at 70,000 + 2 %, and 0.015 % of that
    assert [wakeup.task for wakeup in books.sent] == [Task.EXECUTE_ORDERS]
    books.run_all()
    filled = books.order(user, order.id)
    assert filled.status == "FILLED"
    assert filled.reserved_cash == 0
    (execution,) = filled.executions
    assert (execution.price, execution.amount, execution.commission) == (70_000, 700_000, 105)
    assert execution.applied_at is not None
    assert books.breaches() == []


def test_a_sale_books_its_realised_profit(books: TradingHarness) -> None:
    """The profit bears the commissions of both sides and both taxes."""
    user = books.user()
    books.tick(70_000)
    books.place(user, Side.BUY, 10)
    books.run_all()
    books.tick(80_000)

    order = books.place(user, Side.SELL, 4, SAMSUNG)
    books.run_all()

    (sale,) = books.order(user, order.id).executions
    assert (sale.amount, sale.commission, sale.transaction_tax, sale.rural_tax) == (
        320_000,
        48,
        160,
        480,
    )
    assert sale.realized_profit == 320_000 - 48 - 160 - 480 - 280_000 - 42
    assert books.breaches() == []
