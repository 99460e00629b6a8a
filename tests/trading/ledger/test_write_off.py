"""Write-offs of delisted holdings: shares, cost, profit, events and invariants."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness
from tests.trading.orders.steps import bought, rows, set_status
from tests.trading.portfolio.days import days_of, record
from trading.exchange.hours import AlwaysOpen
from trading.exchange.order_types import Side
from trading.exchange.time import KST, trade_date
from trading.ledger.errors import StockNotDelisted
from trading.ledger.tables import PORTFOLIOS
from trading.ledger.write_off import WriteOffReport, write_off_holdings
from trading.portfolio.holding_rows import load_holdings
from trading.portfolio.holdings import (
    SummaryRecord,
    load_cash,
    load_closed_holdings,
    summarize_portfolio,
)
from trading.portfolio.realized_profit import Grouping, realized_profit
from trading.stocks.errors import StockNotFound
from trading.stocks.valuation_prices import valuation_prices


def write_off(harness: TradingHarness, code: str = SAMSUNG) -> WriteOffReport:
    return harness.core.run(write_off_holdings, stock_code=code, reason="정리매매 종료")


def summary(harness: TradingHarness, user: UUID) -> SummaryRecord:
    now = harness.clock()
    midnight = datetime.combine(trade_date(now), time(), KST)
    found = harness.core.snapshot(load_holdings, user, since=midnight)
    prices = valuation_prices(found.recorded, {}, now=now, freshness_ms=10_000, hours=AlwaysOpen())
    return summarize_portfolio(harness.core.read(load_cash, user), found, prices)


def profits(harness: TradingHarness, user: UUID, group_by: Grouping) -> tuple[Any, Any]:
    period: dict[str, Any] = {"since": None, "until": None, "stock_code": None}
    return harness.core.snapshot(
        realized_profit, user_id=user, group_by=group_by, limit=10, cursor=None, **period
    )


@pytest.fixture
def holder(harness: TradingHarness) -> UUID:
    """A user with 7 of 10 Samsung bought at 70,000, which was delisted the day after."""
    user = harness.user()
    bought(harness, user, 10)
    harness.place(user, Side.SELL, 3)
    harness.run_all()
    bought(harness, user, 1, 100_000, HYNIX)
    harness.clock.advance(days=1)
    set_status(harness, "DELISTED")
    return user


@pytest.mark.every_database
def test_delisted_holding_has_a_value_until_it_is_written_off(
    harness: TradingHarness, holder: UUID
) -> None:
    before = summary(harness, holder)
    assert before.total_assets == before.cash_balance + 490_000 + 100_000

    report = write_off(harness)

    lost = 490_000 + 74
    assert (report.holdings, report.quantity, report.loss) == (1, 7, lost)
    after = summary(harness, holder)
    assert [one.stock_code for one in after.holdings] == [HYNIX]
    assert after.cash_balance == before.cash_balance
    assert after.total_assets == before.total_assets - 490_000
    assert after.todays_change == -490_000
    assert after.realized_profit == before.realized_profit - lost
    assert harness.breaches() == []
    (event,) = rows(
        harness, "SELECT data FROM account_events WHERE kind = 'holding' ORDER BY id DESC LIMIT 1"
    )
    assert '"quantity":0' in event["data"]


@pytest.mark.every_database
def test_loss_is_realized(harness: TradingHarness, holder: UUID) -> None:
    write_off(harness)

    lost = 490_000 + 74
    (samsung,) = harness.core.read(load_closed_holdings, holder)
    assert (samsung.sold_quantity, samsung.written_off_quantity) == (3, 7)
    assert (samsung.cost, samsung.last_sold_at) == (700_105, harness.clock())
    total, days = profits(harness, holder, Grouping.DAY)
    assert total.realized_profit == samsung.realized_profit
    assert (total.quantity, total.executions) == (10, 1)
    written_off, sold = days.items
    assert (written_off.key, written_off.realized_profit) == ("2026-11-21", -lost)
    assert (sold.executions, sold.quantity) == (1, 3)
    _, stocks = profits(harness, holder, Grouping.STOCK)
    assert [(one.key, one.stock_name, one.realized_profit) for one in stocks.items] == [
        (SAMSUNG, "삼성전자", samsung.realized_profit)
    ]


def test_recorded_days_lose_the_shares_when_they_are_written_off(
    harness: TradingHarness, holder: UUID
) -> None:
    harness.clock.advance(hours=15)
    write_off(harness)
    harness.clock.advance(days=1)
    record(harness, AlwaysOpen())

    values = {day["day"]: day["holdings_value"] for day in days_of(harness, holder)}

    day = date(2026, 11, 20)
    assert values == {
        day: 590_000,
        day + timedelta(days=1): 590_000,
        day + timedelta(days=2): 100_000,
    }
    assert harness.breaches() == []


def test_second_write_off_finds_nothing(harness: TradingHarness, holder: UUID) -> None:
    write_off(harness)
    again = write_off(harness)
    assert (again.holdings, again.quantity, again.loss) == (0, 0, 0)
    assert len(rows(harness, "SELECT id FROM holding_write_offs")) == 1


def test_reserved_shares_are_left(harness: TradingHarness) -> None:
    """The order has to end first."""
    user, other = harness.user(), harness.user()
    bought(harness, user, 10)
    bought(harness, other, 5)
    order = harness.place(user, Side.SELL, 1, limit=90_000)
    harness.run_all()
    set_status(harness, "DELISTED")

    report = write_off(harness)

    assert (report.holdings, report.quantity, report.reserved_holdings) == (1, 5, 1)
    harness.cancel(user, order.id)
    assert (write_off(harness).quantity, harness.breaches()) == (10, [])


def test_empty_holdings_of_earlier_releases_are_left(harness: TradingHarness, holder: UUID) -> None:
    empty = insert(PORTFOLIOS).values(
        user_id=harness.user(),
        stock_code=SAMSUNG,
        quantity=0,
        reserved_quantity=0,
        cost=0,
        buy_commission=0,
        realized_profit=0,
        updated_at=harness.clock(),
    )
    harness.do(lambda session: session.execute(empty))

    report = write_off(harness)

    assert (report.holdings, report.quantity, report.reserved_holdings) == (1, 7, 0)
    assert [one.stock_code for one in summary(harness, holder).holdings] == [HYNIX]


@pytest.mark.every_database
def test_holdings_are_written_off_in_batches(harness: TradingHarness) -> None:
    settings = harness.core.settings.model_copy(update={"stage_batch_size": 2})
    for _ in range(5):
        bought(harness, harness.user(), 2)
    set_status(harness, "DELISTED")

    report = harness.core.run(
        lambda uow: write_off_holdings(
            replace(uow, settings=settings), stock_code=SAMSUNG, reason=None
        )
    )

    assert (report.holdings, report.quantity, report.reserved_holdings) == (5, 10, 0)
    assert (report.loss, harness.breaches()) == (5 * 140_021, [])


def test_only_delisted_stocks_are_written_off(harness: TradingHarness) -> None:
    bought(harness, harness.user(), 10)
    for status in ("TRADABLE", "HALTED"):
        set_status(harness, status)
        with pytest.raises(StockNotDelisted):
            write_off(harness)
    with pytest.raises(StockNotFound):
        write_off(harness, "A999999")
    set_status(harness, "TRADABLE")
