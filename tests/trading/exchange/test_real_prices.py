"""The price rules against every stock of KRX on two days of March 2026.

The exceptions are listed one by one, so a new one fails.
"""

import csv
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from launcher.plan import ROOT
from trading.exchange.price_grid import (
    LimitRules,
    Market,
    ceil_to_grid,
    daily_price_range,
    is_on_grid,
    tick_size,
)

DATA = ROOT.parent / "shared" / "data"
FIRST_DAY = DATA / "krx_2026-03-19.csv"
SECOND_DAY = DATA / "krx_2026-03-20.csv"

pytestmark = pytest.mark.skipif(
    not (FIRST_DAY.exists() and SECOND_DAY.exists()),
    reason="the exchange's files are not part of the product",
)

# Stocks whose base price on the second day was not the first day's close, with the base from their
# own change column. The number of shares in the files shows why: four did not trade on the first
# day and returned with more or fewer shares.
ADJUSTED_BASES = {
    "192410": 2_325,  # 오늘이엔엠: two shares became one; at once at its upper limit
    "032540": 4_115,  # TJ미디어: same number of shares, so an ex-date
    "900270": 1_381,  # 헝셩그룹: ten shares became one
    "060230": 368,  # 제이케이시냅스: one share became five
    "008600": 2_720,  # 윌비스: ten shares became one
}
# On its first day a stock trades between 60 % and 400 % of its offer price.
NEWLY_LISTED = {"493280": 26_000}  # 아이엠바이오로직스


class DayOfStock(NamedTuple):
    """One stock's day, prices in won.

    ``prices`` are open, high, low and close; a stock without a trade has only the close.
    """

    market: Market
    close: int
    change: int
    prices: tuple[int, ...]

    @property
    def base(self) -> int:
        """Return the base price according to the exchange's change column."""
        return self.close - self.change


@cache
def stocks(first: bool) -> dict[str, DayOfStock]:
    with (FIRST_DAY if first else SECOND_DAY).open(encoding="utf-8-sig", newline="") as file:
        return {
            row["Code"]: DayOfStock(
                market=cast("Market", row["Market"].split()[0]),
                close=int(row["Close"]),
                change=int(row["Changes"]),
                prices=tuple(
                    int(row[name]) for name in ("Open", "High", "Low", "Close") if int(row[name])
                ),
            )
            for row in csv.DictReader(file)
        }


def outside(stock: DayOfStock, base: int, *, listed_on: date | None = None) -> bool:
    """Return True if any price of the day is outside the limits around a base price."""
    limits = daily_price_range(
        base, LimitRules(market=stock.market, listed_on=listed_on), day=date(2026, 3, 20)
    )
    assert limits is not None
    return not all(map(limits.contains, stock.prices))


def test_close_of_the_day_before_gives_the_limits() -> None:
    """For 2,873 of 2,878 stocks every price is within the limits of the previous close."""
    before, after = stocks(first=True), stocks(first=False)

    beyond = {code for code in before if outside(after[code], before[code].close)}

    assert after.keys() - before.keys() == NEWLY_LISTED.keys()
    assert before.keys() <= after.keys()
    assert len(before) == 2_878
    assert beyond == ADJUSTED_BASES.keys()


def test_previous_close_rounded_up_is_the_base_price() -> None:
    """Except for the adjusted ones."""
    before, after = stocks(first=True), stocks(first=False)

    other = {
        code: after[code].base
        for code in before
        if after[code].base != ceil_to_grid(before[code].close)
    }

    assert other == ADJUSTED_BASES
    assert {code for code, stock in before.items() if not is_on_grid(stock.close)} == {
        "457630",
        "455310",
    }


@pytest.mark.parametrize("first", [True, False], ids=["2026-03-19", "2026-03-20"])
def test_every_price_is_within_the_limits_of_its_own_base(first: bool) -> None:
    """Except for the newly listed stock."""
    beyond = {code for code, stock in stocks(first).items() if outside(stock, stock.base)}

    assert beyond == (set() if first else NEWLY_LISTED.keys())


def test_newly_listed_stock_closed_at_the_limit_of_its_first_day() -> None:
    """It rose to 400 % of its offer price."""
    for code, offered in NEWLY_LISTED.items():
        stock = stocks(first=False)[code]
        limits = daily_price_range(
            offered,
            LimitRules(market=stock.market, listed_on=date(2026, 3, 20)),
            day=date(2026, 3, 20),
        )

        assert stock.base == offered
        assert not outside(stock, offered, listed_on=date(2026, 3, 20))
        assert limits is not None
        assert stock.close == limits.upper == offered * 4


@pytest.mark.parametrize("path", sorted(DATA.glob("krx_*.csv")), ids=lambda path: path.stem)
def test_closes_beyond_the_usual_limits_are_those_of_listing_days(path: Path) -> None:
    """Those at the upper limit of that day are 4.00 times the base price."""
    day = date.fromisoformat(path.stem.removeprefix("krx_"))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["Close"]) > int(row["Changes"])]
    for row in rows:
        close = int(row["Close"])
        base = close - int(row["Changes"])
        market = cast("Market", row["Market"].split()[0])
        usual = daily_price_range(base, LimitRules(market=market), day=day)
        listing = daily_price_range(base, LimitRules(market=market, listed_on=day), day=day)
        assert usual is not None
        assert listing is not None
        if not usual.contains(close):
            assert listing.contains(close), row["Code"]
        if close == listing.upper:
            assert close == 4 * base, row["Code"]


@pytest.mark.parametrize(
    ("first", "at_half_steps"), [(True, 14), (False, 16)], ids=["2026-03-19", "2026-03-20"]
)
def test_every_print_is_on_the_grid_or_at_half_a_step(first: bool, at_half_steps: int) -> None:
    """All 22,365 opens, highs, lows and closes."""
    prices = [price for stock in stocks(first).values() for price in stock.prices]

    off_grid = [price for price in prices if not is_on_grid(price)]
    assert [price for price in off_grid if price % (step := tick_size(price)) != step // 2] == []
    assert len(off_grid) == at_half_steps
