"""Import of listings into the stocks table."""

from dataclasses import replace

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import rows, set_status
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock, seed_listing


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
