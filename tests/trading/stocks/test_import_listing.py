"""Import of listings into the stocks table."""

from dataclasses import replace
from datetime import date

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import rows, set_status
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock, seed_listing
from trading.stocks.queries import get_stock


def stock(number: int) -> ListedStock:
    return ListedStock(
        code=f"A9{number:05}",
        isin=None,
        name=f"종목 {number}",
        english_name=None,
        market="KOSDAQ",
        kind="STOCK",
        sector=None,
        listed_shares=None,
        reference_price=None,
    )


def run(harness: TradingHarness, listing: list[ListedStock]) -> int:
    return harness.core.run(import_stocks, listing)


def test_listing_larger_than_a_batch_is_imported(harness: TradingHarness) -> None:
    """An empty listing is valid."""
    assert run(harness, [stock(number) for number in range(1_201)]) == 1_201
    (count,) = rows(harness, "SELECT COUNT(*) AS n FROM stocks WHERE code LIKE 'A9%'")
    assert count["n"] == 1_201
    assert run(harness, []) == 0


def test_repeated_import_updates_data_and_keeps_the_status(harness: TradingHarness) -> None:
    set_status(harness, "HALTED")
    listing = [
        replace(one, name="새 이름", reference_price=1)
        for one in seed_listing()
        if one.code == SAMSUNG
    ]
    for _ in range(2):
        assert run(harness, listing) == 1
    (row,) = rows(
        harness, "SELECT name, reference_price, status FROM stocks WHERE code = :code", code=SAMSUNG
    )
    assert tuple(row.values()) == ("새 이름", 1, "HALTED")


def test_stocks_missing_in_the_listing_are_kept(harness: TradingHarness) -> None:
    """Orders and holdings refer to them."""
    run(harness, [stock(1)])
    (count,) = rows(harness, "SELECT COUNT(*) AS n FROM stocks")
    assert count["n"] == len(seed_listing()) + 1


def test_unstated_limits_keep_what_is_stored(harness: TradingHarness) -> None:
    """A file of quotes states neither leverage nor listing date; a new stock gets the defaults."""
    fund = replace(
        stock(1), kind="ETF", leverage_percent=200, listed_on=date(2026, 1, 2), in_liquidation=True
    )
    run(harness, [fund])

    run(harness, [stock(1), stock(2), replace(stock(3), leverage_percent=-200), stock(4)])

    assert limits_of(harness) == [
        ("A900001", 200, date(2026, 1, 2), True),
        ("A900002", 100, None, False),
        ("A900003", -200, None, False),
        ("A900004", 100, None, False),
    ]

    run(harness, [replace(stock(1), in_liquidation=False)])

    assert limits_of(harness)[0] == ("A900001", 200, date(2026, 1, 2), False)


def limits_of(harness: TradingHarness) -> list[tuple[str, int, date | None, bool]]:
    found = [harness.core.read(get_stock, f"A9{number:05}") for number in range(1, 5)]
    return [
        (one.stock_code, one.leverage_percent, one.listed_on, one.in_liquidation) for one in found
    ]
