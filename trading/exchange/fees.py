"""Costs of a trade: the broker's commission and the taxes on a sale, in won.

Rates are in parts per million. The tax table is dated: the rate of the trade date applies.
Source: 증권거래세법 시행령 제5조 and 농어촌특별세법 제5조 with the amendment in force from
2026-01-01 (transaction tax back to 0.05 % on KOSPI, 0.20 % on KOSDAQ).
"""

from dataclasses import dataclass
from datetime import date

from trading.exchange.price_grid import Market, StockKind
from trading.money import rate_rounded_down


@dataclass(frozen=True, slots=True)
class TaxRates:
    """Rates on the amount of a sale, in ppm: transaction tax and rural tax (농어촌특별세)."""

    transaction_ppm: int
    rural_ppm: int = 0


@dataclass(frozen=True, slots=True)
class SaleTaxes:
    """Taxes on one sale in won. They are separate taxes, so each is rounded down by itself."""

    transaction: int
    rural: int

    @property
    def total(self) -> int:
        return self.transaction + self.rural


_RURAL_PPM = 1_500

# (first trade date, tax rates by market in ppm), latest first.
_TAX_TABLE: tuple[tuple[date, dict[Market, TaxRates]], ...] = tuple(
    (
        since,
        {
            "KOSPI": TaxRates(kospi, _RURAL_PPM),
            "KOSDAQ": TaxRates(kosdaq),
            "KONEX": TaxRates(1_000),
        },
    )
    for since, kospi, kosdaq in (
        (date(2026, 1, 1), 500, 2_000),
        (date(2025, 1, 1), 0, 1_500),
        (date(2024, 1, 1), 300, 1_800),
        (date(2023, 1, 1), 500, 2_000),
    )
)


def tax_rates(market: Market, kind: StockKind, on: date) -> TaxRates:
    """Return the tax rates in force on a trade date; ETF and ETN sales are free of both.

    Raise ValueError before 2023, where the table begins.
    """
    for since, rates in _TAX_TABLE:
        if on >= since:
            return rates[market] if kind == "STOCK" else TaxRates(0)
    raise ValueError(f"No tax rates are known for {on}.")


def commission(amount: int, commission_ppm: int) -> int:
    """Return the broker's commission on a traded amount (won), rounded down."""
    return rate_rounded_down(amount, commission_ppm)


def sale_taxes(amount: int, *, market: Market, kind: StockKind, on: date) -> SaleTaxes:
    """Return the taxes on a sale of ``amount`` won on a trade date."""
    rates = tax_rates(market, kind, on)
    return SaleTaxes(
        transaction=rate_rounded_down(amount, rates.transaction_ppm),
        rural=rate_rounded_down(amount, rates.rural_ppm),
    )


def cost_of_buying(amount: int, commission_ppm: int) -> int:
    """Return the cash that a purchase of ``amount`` won needs: the amount and its commission."""
    return amount + commission(amount, commission_ppm)


def largest_affordable_quantity(cash: int, price: int, commission_ppm: int) -> int:
    """Return the most shares at ``price`` won that ``cash`` won can buy, commission included."""
    if cash <= 0:
        return 0
    quantity = cash // price
    while quantity and cost_of_buying(quantity * price, commission_ppm) > cash:
        # The commission is far below the price of one share or a tiny fraction of the total, so one
        # proportional step is enough.
        excess = cost_of_buying(quantity * price, commission_ppm) - cash
        quantity -= max(1, excess // (price + price * commission_ppm // 1_000_000 + 1))
    return quantity
