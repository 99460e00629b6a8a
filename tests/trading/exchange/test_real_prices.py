"""The price rules against every stock of KRX on two days of March 2026. The exceptions are known one by one, so a new one fails."""

import csv
from functools import cache
from typing import NamedTuple, cast

import pytest

from launcher.plan import ROOT
from trading.exchange.price_grid import (
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

# Stocks whose base price on the second day was not the first day's close, with the base that their own change column tells. The number of
# shares in the files shows why: four did not trade on the first day and came back with more or fewer shares.
ADJUSTED_BASES = {
    "192410": 2_325,  # 오늘이엔엠: two shares became one; at once at its upper limit
    "032540": 4_115,  # TJ미디어: as many shares as before, so an ex-date
    "900270": 1_381,  # 헝셩그룹: ten shares became one
    "060230": 368,  # 제이케이시냅스: one share became five
    "008600": 2_720,  # 윌비스: ten shares became one
}
# On its first day a stock trades between 60 % and 400 % of the price at which it was offered.
NEWLY_LISTED = {"493280": 26_000}  # 아이엠바이오로직스


class DayOfStock(NamedTuple):
    """Prices in won; ``prices`` are open, high, low and close, of which a stock without a trade has the close alone."""

    market: Market
    close: int
    change: int
    prices: tuple[int, ...]

    @property
    def base(self) -> int:
        """The base price that the exchange's own change column tells."""
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


def outside(stock: DayOfStock, base: int) -> bool:
    """Whether any price of the day lies beyond the limits around a base price."""
    limits = daily_price_range(base, market=stock.market)
    return not all(limits.lower <= price <= limits.upper for price in stock.prices)


def test_yesterdays_close_gives_todays_limits() -> None:
    """For 2,873 of 2,878 stocks every price of the second day lies within the limits that the rules compute from the close before."""
    before, after = stocks(first=True), stocks(first=False)

    beyond = {code for code in before if outside(after[code], before[code].close)}

    assert after.keys() - before.keys() == NEWLY_LISTED.keys()
    assert before.keys() <= after.keys()
    assert len(before) == 2_878
    assert beyond == ADJUSTED_BASES.keys()


def test_yesterdays_close_rounded_up_is_todays_base() -> None:
    """The exchange's own base prices are the closes, rounded up where they were at half a step; but for the adjusted ones."""
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
    """With the exchange's own base price no stock is an exception but the newly listed one."""
    beyond = {code for code, stock in stocks(first).items() if outside(stock, stock.base)}

    assert beyond == (set() if first else NEWLY_LISTED.keys())


def test_a_first_day_has_limits_of_its_own() -> None:
    """The one new stock rose to 400 % of its offer price, the most that its first day allows."""
    (code, offered), stock = *NEWLY_LISTED.items(), stocks(first=False)["493280"]

    assert (code, stock.base) == ("493280", offered)
    assert max(stock.prices) == offered * 4


@pytest.mark.parametrize(
    ("first", "at_half_steps"), [(True, 14), (False, 16)], ids=["2026-03-19", "2026-03-20"]
)
def test_every_print_is_possible(first: bool, at_half_steps: int) -> None:
    """Each of 22,365 opens, highs, lows and closes is on the grid, or at half a step of it, without exception."""
    prices = [price for stock in stocks(first).values() for price in stock.prices]

    off_grid = [price for price in prices if not is_on_grid(price)]
    assert [price for price in off_grid if price % (step := tick_size(price)) != step // 2] == []
    assert len(off_grid) == at_half_steps
