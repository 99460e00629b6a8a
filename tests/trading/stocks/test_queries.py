"""The master data as it is searched: what a process knows of it is never older than two seconds, and is read once for all threads."""

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


def listed(harness: TradingHarness, *stocks: ListedStock) -> None:
    harness.clock.advance(seconds=REFRESH_AFTER.total_seconds())
    harness.do(lambda session: import_stocks(session, stocks, now=harness.clock()))


def names(search: StockSearch, query: str) -> list[str]:
    return [stock.name for stock in search(query, limit=50)]


def test_a_new_name_is_found_and_an_old_one_no_more(harness: TradingHarness) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    assert names(search, "ㅅㅅㅈㅈ") == ["삼성전자"]

    listed(harness, ListedStock(code=SAMSUNG, name="새이름", market="KOSPI"))

    assert names(search, "ㅅㅅㅈㅈ") == []
    assert names(search, "ㅅㅇㄹ") == ["새이름"]


def test_every_stock_of_the_listing_is_found_by_all_that_it_is_called(
    harness: TradingHarness,
) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    for stock in seed_listing():
        for called in (stock.name, stock.english_name or stock.name, stock.code, stock.code[1:]):
            assert stock.code in {found.code for found in search(called, limit=50)}, called


def test_what_did_not_change_is_not_read_again(harness: TradingHarness) -> None:
    """A look is one short statement; the listing itself is read when it says so."""
    search = StockSearch(harness.core.database, harness.clock)
    names(search, "x")
    engine = harness.core.database.engine
    with statements_counted(engine) as at_once:
        names(search, "x")
    harness.clock.advance(seconds=2)
    with statements_counted(engine) as later:
        names(search, "x")
    listed(harness, replace(seed_listing()[0], name="새이름"))
    with statements_counted(engine) as changed:
        names(search, "x")

    def reads(statements: list[str]) -> int:
        return sum("FROM stocks" in statement for statement in statements)

    assert (reads(at_once), reads(later), reads(changed)) == (0, 1, 2)


@pytest.mark.parametrize("status", ["HALTED", "DELISTED"])
def test_a_status_that_was_changed_by_hand_is_seen(harness: TradingHarness, status: str) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    names(search, "x")
    harness.do(
        lambda session: session.execute(
            update(STOCKS).where(STOCKS.c.code == SAMSUNG).values(status=status)
        )
    )
    harness.clock.advance(seconds=2)

    assert search("005930", limit=1)[0].status == status


def test_many_threads_read_the_listing_once(harness: TradingHarness) -> None:
    search = StockSearch(harness.core.database, harness.clock)
    together = threading.Barrier(8)

    def ask(_: int) -> list[str]:
        together.wait(DEADLINE_S)
        return names(search, "ㅅㅅㅈㅈ")

    with (
        statements_counted(harness.core.database.engine) as statements,
        ThreadPoolExecutor(8) as threads,
    ):
        found = list(threads.map(ask, range(8)))

    assert found == [["삼성전자"]] * 8
    assert sum("GROUP BY" in statement for statement in statements) == 1


def test_one_stock_by_its_code(harness: TradingHarness) -> None:
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
