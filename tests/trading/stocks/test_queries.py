"""Stock search: at most two seconds old, and loaded once for all threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from tests.support.deadlines import DEADLINE_S
from tests.support.statements import statements_counted
from tests.support.trading_harness import SAMSUNG, TradingHarness
from trading.stocks.errors import StockNotFound
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock, seed_listing
from trading.stocks.queries import REFRESH_AFTER, StockSearch, get_stock
from trading.stocks.tables import STOCKS


def import_stock(harness: TradingHarness, *stocks: ListedStock) -> None:
    harness.clock.advance(seconds=REFRESH_AFTER.total_seconds())
    harness.core.run(import_stocks, stocks)


def names(search: StockSearch, query: str) -> list[str]:
    return [stock.name for stock in search(query, limit=50)]


def test_renamed_stock_is_found_by_its_new_name_only(harness: TradingHarness) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    assert names(search, "ㅅㅅㅈㅈ") == ["삼성전자"]

    import_stock(harness, ListedStock(code=SAMSUNG, name="새이름", market="KOSPI"))

    assert names(search, "ㅅㅅㅈㅈ") == []
    assert names(search, "ㅅㅇㄹ") == ["새이름"]


def test_every_listed_stock_is_found_by_names_and_codes(
    harness: TradingHarness,
) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    for stock in seed_listing():
        for text in (stock.name, stock.english_name or stock.name, stock.code, stock.code[1:]):
            assert stock.code in {found.code for found in search(text, limit=50)}, text


def test_unchanged_listing_is_not_reloaded(harness: TradingHarness) -> None:
    """A check is one short statement; the listing is loaded only after a change."""
    search = StockSearch(harness.core.database, harness.clock)
    names(search, "x")
    engine = harness.core.database.engine
    with statements_counted(engine) as immediately:
        names(search, "x")
    harness.clock.advance(seconds=2)
    with statements_counted(engine) as later:
        names(search, "x")
    import_stock(harness, replace(seed_listing()[0], name="새이름"))
    with statements_counted(engine) as changed:
        names(search, "x")

    def reads(statements: list[str]) -> int:
        return sum("FROM stocks" in statement for statement in statements)

    assert (reads(immediately), reads(later), reads(changed)) == (0, 1, 2)


@pytest.mark.parametrize("status", ["HALTED", "DELISTED"])
def test_manual_status_change_is_detected(harness: TradingHarness, status: str) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    names(search, "x")
    harness.do(
        lambda session: session.execute(
            update(STOCKS).where(STOCKS.c.code == SAMSUNG).values(status=status)
        )
    )
    harness.clock.advance(seconds=2)

    assert search("005930", limit=1)[0].status == status


def test_concurrent_searches_load_the_listing_once(harness: TradingHarness) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    barrier = threading.Barrier(8)

    def run_search(_: int) -> list[str]:
        barrier.wait(DEADLINE_S)
        return names(search, "ㅅㅅㅈㅈ")

    with (
        statements_counted(harness.core.database.engine) as statements,
        ThreadPoolExecutor(8) as threads,
    ):
        found = list(threads.map(run_search, range(8)))

    assert found == [["삼성전자"]] * 8
    assert sum("GROUP BY" in statement for statement in statements) == 1


def test_stock_is_loaded_by_code(harness: TradingHarness) -> None:
    record = harness.core.read(get_stock, SAMSUNG)
    row = harness.core.database.read(
        lambda session: session.execute(select(STOCKS).where(STOCKS.c.code == SAMSUNG)).one()
    )

    assert (record.name, record.status, record.listed_shares) == (
        row.name,
        row.status,
        row.listed_shares,
    )
    with pytest.raises(StockNotFound):
        harness.core.read(get_stock, "A999999")
