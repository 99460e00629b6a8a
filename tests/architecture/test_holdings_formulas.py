"""Examples of docs/formulas.md on holdings and days, recomputed by the product's code."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from launcher.plan import ROOT
from tests.support.trading_harness import TestClock
from trading.exchange.hours import KrxHours
from trading.exchange.time import KST
from trading.ledger.positions import HoldingPosition
from trading.marketdata.ticks import Position as Place
from trading.marketdata.ticks import Tick
from trading.money import average_price
from trading.portfolio.daily_change import DayTrades, change_of_day, change_of_held
from trading.portfolio.daily_snapshots import RECORDED_AFTER
from trading.portfolio.holding_rows import HoldingRows
from trading.portfolio.holdings import value_holdings
from trading.portfolio.snapshot_queries import DayRecord
from trading.stocks.valuation_prices import valuation_prices

PAGE = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8")
NOW = TestClock()()


def table(first_column: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table with this first column: figures as integers, dashes as None."""
    lines = iter(PAGE.splitlines())
    head = next(line for line in lines if line.startswith(f"| {first_column} |"))
    names = [name.strip() for name in head.strip("|").split("|")]
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield dict(zip(names, map(_value, line.strip("|").split("|")), strict=True))


def _value(cell: str) -> int | str | None:
    text = cell.strip().replace("−", "-")
    number = text.replace(",", "")
    return None if text == "–" else int(number) if number.removeprefix("-").isdigit() else text


class _Row:
    """A row of a holding as the database returns it."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.stock_code, self.quantity, self.cost, self.buy_commission = (
            row["stock"],
            row["shares"],
            row["cost"],
            row["buy commission"],
        )
        self.name = self.market = self.sector = ""
        self.reserved_quantity = 0


def test_average_price_and_realized_profit() -> None:
    position, fills = HoldingPosition(), list(table("fill"))
    assert len(fills) == 3
    for fill in fills:
        profit = None
        terms = {
            "quantity": fill["shares"],
            "amount": fill["amount"],
            "commission": fill["commission"],
        }
        if fill["fill"] == "bought":
            position = position.bought(**terms)
        else:
            position, sale = position.sold(**terms, tax=fill["tax"])
            profit = sale.realized_profit
        documented = (
            fill["held"],
            fill["cost"],
            fill["buy commission"],
            fill["average price"],
            fill["realised profit"],
        )
        average = average_price(position.cost, position.quantity)
        assert documented == (
            position.quantity,
            position.cost,
            position.buy_commission,
            average,
            profit,
        )


def test_value_unrealized_profit_and_weight() -> None:
    rows = list(table("stock"))
    ticks = {
        row["stock"]: Tick(
            code=row["stock"],
            price=row["price"],
            volume=1,
            traded_at=NOW,
            received_at=NOW,
            position=Place(1, 1),
        )
        for row in rows
    }
    held: Any = [_Row(row) for row in rows]
    prices = valuation_prices({}, ticks, now=NOW, freshness_ms=1, hours=KrxHours({}))
    holdings = value_holdings(HoldingRows(held, {}, {}), prices)
    assert len(holdings) == 2
    for row, holding in zip(rows, holdings, strict=True):
        documented = (row["value"], row["unrealised profit"], row["rate (bp)"], row["weight (bp)"])
        assert documented == (
            holding.value,
            holding.unrealized_profit,
            holding.unrealized_profit_rate_bp,
            holding.weight_bp,
        )


def test_todays_change() -> None:
    rows = list(table("before"))
    assert len(rows) == 5
    for row in rows:
        trades = DayTrades(row["bought"], row["spent"], row["sold"], row["earned"])
        assert row["before"] + trades.bought - trades.sold == row["held"]
        market = {"price": row["price"], "base": row["base"]}
        assert change_of_held(row["held"], trades, **market) == row["of the holding"]
        assert change_of_day(row["held"], trades, **market) == row["of the day"]


def test_days() -> None:
    before, rows = 0, [row for row in table("day") if "holdings" in row]
    assert len(rows) == 3
    for row in rows:
        record = DayRecord(
            day=date.fromisoformat(row["day"]),
            provisional=False,
            cash_balance=row["cash"],
            holdings_value=row["holdings"],
            net_flow=row["deposits"] - row["withdrawals"],
            withdrawals=row["withdrawals"],
            carried_holdings=0,
            unpriced_holdings=0,
            assets_before=before,
        )
        documented = (row["total"], row["deposits"], row["profit"], row["rate (bp)"])
        assert documented == (
            record.total_assets,
            record.deposits,
            record.profit,
            record.profit_rate_bp,
        )
        before = row["total"]


def test_when_a_day_ends() -> None:
    """Before and since the after-market was introduced, and the delay until a day is recorded."""
    ends = [KrxHours({}).trading_ends(day) for day in (date(2026, 9, 14), date(2026, 9, 11))]
    assert [f"{end.astimezone(KST):%H:%M}" for end in ends if end] == ["20:01", "15:31"]
    assert timedelta(minutes=10) == RECORDED_AFTER
