"""Examples of docs/formulas.md on performance, recomputed by the product's code."""

import re
from datetime import date
from decimal import Decimal

from launcher.plan import ROOT
from trading.portfolio.performance import (
    RETURNS_NEEDED,
    TRADING_DAYS_A_YEAR,
    beta,
    max_drawdown,
    sharpe_ratio,
    volatility,
)
from trading.portfolio.returns import (
    Figure,
    Unavailable,
    Valuation,
    daily_returns,
    money_weighted_return,
    total_return,
)
from trading.portfolio.trade_totals import TradeTotals

PAGE = (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8").split("## Performance")[1]
RETURNS, RISK, TRADES = (re.split(r"^### ", PAGE, flags=re.MULTILINE)[n] for n in (1, 2, 3))


def rows(section: str, columns: int) -> list[list[str]]:
    """Return the rows of a section's tables with this number of columns, without headings."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [
        row
        for row in cells
        if len(row) == columns and row[0] not in ("figure", "day", "fill") and set(row[0]) != {"-"}
    ]


def documented(section: str) -> dict[str, str]:
    return dict(rows(section, 2))


def six(figure: Figure) -> str:
    assert not isinstance(figure, Unavailable)
    return f"{figure:z.6f}"


def won(text: str) -> int:
    return int(text.replace(",", ""))


def test_returns_equal_the_table() -> None:
    """Deposits, withdrawals and a day of unknown value."""
    table = rows(RETURNS, 5)
    valuations = [
        Valuation(
            date.fromisoformat(day),
            None if worth == "unknown" else won(worth),
            won(paid_in),
            won(paid_out),
        )
        for day, worth, paid_in, paid_out, _ in table
    ]

    found = daily_returns(valuations)

    assert len(table) == 6
    assert {one.day.isoformat(): six(one.value) for one in found} == {
        row[0]: row[4] for row in table if row[4] != "–"
    }
    fall = max_drawdown(found)
    assert fall is not None
    assert documented(RETURNS) == {
        "time-weighted return": six(total_return(one.value for one in found)),
        "money-weighted return": six(
            money_weighted_return(valuations, since=valuations[0].day, until=valuations[-1].day)
        ),
        "max drawdown": f"{six(fall.depth)}, from {fall.peak_day} to {fall.trough_day}, "
        f"recovered on {fall.recovery_day}",
    }


def test_flows_of_one_day_cancel_out() -> None:
    table = [row for row in rows(RETURNS, 6) if row[0] != "worth before"]
    assert len(table) == 3
    for before, paid_in, paid_out, net, worth, documented_return in table:
        assert won(net) == won(paid_in) - won(paid_out)
        first = Valuation(date(2026, 11, 19), won(before))
        second = Valuation(date(2026, 11, 20), won(worth), won(paid_in), won(paid_out))
        (found,) = daily_returns([first, second])
        assert six(found.value) == documented_return


def test_risk_figures_of_the_twenty_days() -> None:
    """With an index and a risk-free rate."""
    account, index = (
        [Decimal(bp) / 10_000 for bp in line.split()[1:]]
        for line in RISK.splitlines()
        if line.startswith(("account ", "index "))
    )

    assert len(account) == RETURNS_NEEDED == 20
    assert documented(RISK) == {
        "time-weighted return": six(total_return(account)),
        "the index's return": six(total_return(index)),
        "excess return": six(total_return(account) - total_return(index)),
        "volatility": six(volatility(account, days_a_year=TRADING_DAYS_A_YEAR)),
        "Sharpe ratio at 250 bp": six(
            sharpe_ratio(account, risk_free_rate_bp=250, days_a_year=TRADING_DAYS_A_YEAR)
        ),
        "beta": six(beta(account, index)),
    }


def test_trade_figures() -> None:
    """Three wins, a loss and a break-even."""
    (line,) = [line for line in TRADES.splitlines() if line.startswith("Trades of ")]
    profits = [won(text.replace("−", "-")) for text in re.findall(r"−?\d[\d,]*\d|\b0\b", line)]
    totals = TradeTotals(
        trades=len(profits),
        wins=sum(profit > 0 for profit in profits),
        losses=sum(profit < 0 for profit in profits),
        gross_profit=sum(profit for profit in profits if profit > 0),
        gross_loss=-sum(profit for profit in profits if profit < 0),
    )

    assert len(profits) == 5
    assert documented(TRADES) == {
        "win rate": f"{totals.win_rate:.6f}",
        "average win": f"{totals.average_win:,}",
        "average loss": f"{totals.average_loss:,}",
        "profit factor": f"{totals.profit_factor:.6f}",
    }
