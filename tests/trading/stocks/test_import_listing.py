"""The master data in the database: imported, imported again, and the operators' own left alone."""

from dataclasses import replace

from tests.support.trading_harness import SAMSUNG, TradingHarness
from tests.trading.orders.steps import do, rows, set_status
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
    return do(harness, lambda session: import_stocks(session, listing, now=harness.clock()))


def test_a_listing_larger_than_a_batch_is_imported_whole(harness: TradingHarness) -> None:
    """Every stock once, beside those of the seed; an empty listing is no fault."""
    assert run(harness, [stock(number) for number in range(1_201)]) == 1_201
    (count,) = rows(harness, "SELECT COUNT(*) AS n FROM stocks WHERE code LIKE 'A9%'")
    assert count["n"] == 1_201
    assert run(harness, []) == 0


def test_importing_again_refreshes_the_facts_and_keeps_the_status(harness: TradingHarness) -> None:
    """Name and price are the exchange's; a halt is the operators' and survives."""
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


def test_stocks_that_a_listing_does_not_name_stay(harness: TradingHarness) -> None:
    """A file of one stock takes no other away: orders and holdings point to them."""
    run(harness, [stock(1)])
    (count,) = rows(harness, "SELECT COUNT(*) AS n FROM stocks")
    assert count["n"] == len(seed_listing()) + 1
