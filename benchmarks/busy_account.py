"""An account with a long history, created by the product's own use cases."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks.market_setup import list_stocks, print_trades
from trading import bootstrap as trading_core
from trading.bootstrap import Core
from trading.config.settings import Settings
from trading.db.ids import new_id
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.orders.apply_to_holdings import update_portfolios
from trading.orders.execute import execute_orders
from trading.orders.place import PlaceOrder, place_order
from trading.orders.settle import settle_executions
from trading.portfolio.record_snapshots import DaysReport, record_account_days
from trading.stocks.candles.build import build_candles
from trading.tasks import Task, TaskRequest
from trading.unit_of_work import UnitOfWork

# Midnight in Korea: each round of trading is a day.
FIRST_DAY = datetime(2025, 1, 1, 15, 0, tzinfo=UTC)
_PRICE = 10_000


class History:
    """A core whose clock is at the end of the history."""

    def __init__(self, settings: Settings) -> None:
        self._dispatched: list[TaskRequest] = []
        self.now = FIRST_DAY
        self.core: Core = trading_core.build(
            settings, deliver=self._dispatched.extend, clock=lambda: self.now
        )

    def live(self, user_id: UUID, *, fills: int, holdings: int, closed: int) -> None:
        """Trade day after day until the account has `fills` fills, and record each day.

        At the end it holds `holdings` stocks, and `closed` others were sold out.
        """
        codes = [f"A{number:06d}" for number in range(100_000, 100_000 + holdings + closed)]
        list_stocks(self.core, codes, price=_PRICE)
        sold_out = codes[holdings:]
        self._day(user_id, sold_out, Side.BUY, day=0)
        self._day(user_id, sold_out, Side.SELL, day=1)
        left, day = fills - 2 * len(sold_out), 2
        while left > 0:
            # Two days of buys and one of sales, so that some of each stock is left.
            self._day(
                user_id,
                codes[: min(holdings, left)],
                Side.SELL if day % 3 == 1 else Side.BUY,
                day=day,
            )
            left, day = left - holdings, day + 1
        self._record_days()
        print_trades(self.core, codes, prices=[_PRICE + 100])

    def _day(self, user_id: UUID, codes: Sequence[str], side: Side, *, day: int) -> None:
        self.now = FIRST_DAY + timedelta(days=day, hours=1)
        print_trades(self.core, codes, prices=[_PRICE + 10 * (day % 7)])

        def place(uow: UnitOfWork) -> None:
            for code in codes:
                command = PlaceOrder(
                    order_id=new_id(),
                    user_id=user_id,
                    stock_code=code,
                    side=side,
                    order_type=OrderType.MARKET,
                    time_in_force=TimeInForce.DAY,
                    quantity=1,
                    limit_price=None,
                    client_order_id=None,
                )
                place_order(uow, command)

        self.core.run(place)
        stages: dict[str, Callable[[UnitOfWork, Sequence[UUID]], object]] = {
            Task.EXECUTE_ORDERS: execute_orders,
            Task.SETTLE_EXECUTIONS: settle_executions,
            Task.UPDATE_PORTFOLIOS: update_portfolios,
        }
        while self._dispatched:
            due, self._dispatched[:] = list(self._dispatched), []
            for task in dict.fromkeys(request.task for request in due):
                ids = sorted(one for request in due if request.task == task for one in request.ids)
                self.core.run(stages[task], ids)
        self.core.run(build_candles, stream=self.core.ticks)

    def _record_days(self) -> None:
        self.now += timedelta(days=1)
        report = DaysReport(more=True)
        while report.more:
            report = self.core.run(record_account_days, done_to=report.done_to, batch_size=500)
