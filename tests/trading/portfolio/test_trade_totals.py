"""Totals of trades and their figures."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.portfolio.trade_totals import Span, TradeTotals, bucket_containing, by_span, sum_totals

PROFITS = st.lists(st.integers(-(10**9), 10**9), max_size=20)


def totals(profits: list[int]) -> TradeTotals:
    wins, losses = [one for one in profits if one > 0], [-one for one in profits if one < 0]
    return TradeTotals(
        trades=len(profits),
        wins=len(wins),
        losses=len(losses),
        gross_profit=sum(wins),
        gross_loss=sum(losses),
        largest_win=max(wins, default=0),
        largest_loss=max(losses, default=0),
        held_trades=len(profits),
        held_s=60 * len(profits),
    )


@given(st.lists(PROFITS, max_size=6))
def test_totals_add_up(days: list[list[int]]) -> None:
    together = totals([profit for profits in days for profit in profits])

    assert sum_totals(totals(profits) for profits in days) == together
    assert together.realized_profit == sum(profit for profits in days for profit in profits)


def test_figures_of_some_trades() -> None:
    """Wins of 30, 20 and 10, a loss of 15 and a break-even: 60 % wins, profit factor 4."""
    found = totals([30, 20, 10, -15, 0])

    assert (found.win_rate, found.profit_factor) == (Decimal("0.6"), 4)
    assert (found.average_win, found.average_loss, found.average_holding_s) == (20, 15, 60)
    assert (found.largest_win, found.largest_loss, found.realized_profit) == (30, 15, 45)


def test_figures_without_trades_are_none() -> None:
    nothing = TradeTotals()

    assert (nothing.win_rate, nothing.average_win, nothing.average_loss) == (None, None, None)
    assert (nothing.profit_factor, nothing.average_holding_s) == (None, None)
    assert (totals([5]).win_rate, totals([5]).profit_factor, totals([-5]).profit_factor) == (
        1,
        None,
        0,
    )


@pytest.mark.parametrize(
    ("day", "span", "key", "first", "last"),
    [
        (date(2026, 11, 20), Span.DAY, "2026-11-20", date(2026, 11, 20), date(2026, 11, 20)),
        (date(2026, 11, 22), Span.WEEK, "2026-W47", date(2026, 11, 16), date(2026, 11, 22)),
        (date(2027, 1, 3), Span.WEEK, "2026-W53", date(2026, 12, 28), date(2027, 1, 3)),
        (date(2027, 1, 4), Span.WEEK, "2027-W01", date(2027, 1, 4), date(2027, 1, 10)),
        (date(2026, 2, 28), Span.MONTH, "2026-02", date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 12, 1), Span.MONTH, "2026-12", date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_bucket_contains_its_day(day: date, span: Span, key: str, first: date, last: date) -> None:
    """Weeks follow ISO 8601 and belong to the year of their Thursday."""
    bucket = bucket_containing(day, span)
    assert (bucket.key, bucket.first_day, bucket.last_day) == (key, first, last)


@given(
    st.dictionaries(st.dates(date(2020, 1, 1), date(2027, 12, 31)), st.integers(1, 9), max_size=40),
    st.sampled_from(Span),
)
def test_buckets_partition_the_days(days: dict[date, int], span: Span) -> None:
    """Buckets do not overlap and are ordered by time and by key."""
    found = by_span({day: TradeTotals(executions=count) for day, count in days.items()}, span)

    assert sum(totals.executions for totals in found.values()) == sum(days.values())
    buckets = list(found)
    assert [bucket.key for bucket in buckets] == sorted(bucket.key for bucket in buckets)
    assert all(before.last_day < after.first_day for before, after in pairwise(buckets))
    for day in days:
        assert sum(bucket.first_day <= day <= bucket.last_day for bucket in buckets) == 1
    assert all(
        bucket_containing(bucket.last_day + timedelta(days=1), span) != bucket for bucket in buckets
    )
