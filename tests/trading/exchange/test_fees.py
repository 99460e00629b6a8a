"""Commission and taxes: by date, market and kind, each rounded down."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.fees import (
    commission,
    cost_of_buying,
    largest_affordable_quantity,
    sale_taxes,
    tax_rates,
)
from trading.exchange.price_grid import Market, StockKind
from trading.exchange.time import trade_date

RATES = st.integers(0, 100_000)


@pytest.mark.parametrize(
    ("market", "on", "transaction", "rural"),
    [
        ("KOSPI", date(2023, 1, 1), 500, 1_500),
        ("KOSPI", date(2023, 12, 31), 500, 1_500),
        ("KOSPI", date(2024, 1, 1), 300, 1_500),
        ("KOSPI", date(2025, 12, 31), 0, 1_500),
        ("KOSPI", date(2026, 1, 1), 500, 1_500),
        ("KOSDAQ", date(2023, 6, 1), 2_000, 0),
        ("KOSDAQ", date(2024, 6, 1), 1_800, 0),
        ("KOSDAQ", date(2025, 6, 1), 1_500, 0),
        ("KOSDAQ", date(2026, 6, 1), 2_000, 0),
        ("KONEX", date(2023, 6, 1), 1_000, 0),
        ("KONEX", date(2026, 6, 1), 1_000, 0),
    ],
)
def test_tax_rates_of_each_market_and_year(
    market: Market, on: date, transaction: int, rural: int
) -> None:
    """KOSPI pays the rural tax too, so its sum equals KOSDAQ's; KONEX has its own rate."""
    rates = tax_rates(market, "STOCK", on)
    assert (rates.transaction_ppm, rates.rural_ppm) == (transaction, rural)


@pytest.mark.parametrize("kind", ["ETF", "ETN"])
@pytest.mark.parametrize("market", ["KOSPI", "KOSDAQ"])
def test_etf_and_etn_sales_are_free_of_tax(kind: StockKind, market: Market) -> None:
    assert sale_taxes(10**9, market=market, kind=kind, on=date(2026, 1, 2)).total == 0


def test_dates_before_the_tax_table_raise() -> None:
    with pytest.raises(ValueError, match="2022-12-31"):
        tax_rates("KOSPI", "STOCK", date(2022, 12, 31))


def test_each_tax_is_rounded_down_separately() -> None:
    """1,999 won on KOSPI in 2026: 0.9995 and 2.9985 won make 0 + 2, not 3."""
    taxes = sale_taxes(1_999, market="KOSPI", kind="STOCK", on=date(2026, 5, 4))
    assert (taxes.transaction, taxes.rural, taxes.total) == (0, 2, 2)


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (datetime(2025, 12, 31, 14, 59, 59, 999_999, tzinfo=UTC), date(2025, 12, 31)),
        (datetime(2025, 12, 31, 15, 0, tzinfo=UTC), date(2026, 1, 1)),
    ],
)
def test_tax_year_begins_at_midnight_in_korea(at: datetime, day: date) -> None:
    assert trade_date(at) == day
    assert tax_rates("KOSPI", "STOCK", trade_date(at)).transaction_ppm == (
        0 if day.year == 2025 else 500
    )


def test_naive_time_has_no_trade_date() -> None:
    with pytest.raises(ValueError, match="offset"):
        trade_date(datetime(2026, 1, 1))  # noqa: DTZ001


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)))  # noqa: DTZ001
def test_trade_date_is_utc_plus_nine_hours_all_year(naive: datetime) -> None:
    """Korea has no summer time."""
    at = naive.replace(tzinfo=UTC)
    assert trade_date(at) == (at + timedelta(hours=9)).date()


@given(st.integers(-10, 10**13), st.integers(1, 5_000_000), RATES)
def test_largest_affordable_quantity_is_affordable_and_one_more_is_not(
    cash: int, price: int, ppm: int
) -> None:
    quantity = largest_affordable_quantity(cash, price, ppm)
    assert quantity >= 0
    assert cost_of_buying(quantity * price, ppm) <= max(cash, 0)
    assert cost_of_buying((quantity + 1) * price, ppm) > cash


@given(st.integers(1, 3_000), st.integers(1, 5), RATES, st.integers(0, 3))
def test_largest_affordable_quantity_at_the_exact_cost(
    quantity: int, price: int, ppm: int, spare: int
) -> None:
    """With exactly the cost of n shares it is at least n, where rounding of the commission matters
    most.
    """
    cash = cost_of_buying(quantity * price, ppm) + spare
    found = largest_affordable_quantity(cash, price, ppm)
    assert found >= quantity
    assert cost_of_buying((found + 1) * price, ppm) > cash


def test_purchase_costs_its_amount_and_commission() -> None:
    """700,000 won at 0.015 % cost 105 won more."""
    assert (commission(700_000, 150), cost_of_buying(700_000, 150)) == (105, 700_105)
