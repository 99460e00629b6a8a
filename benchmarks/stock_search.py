"""Whether stocks are better searched in memory or by SQL: ``python -m benchmarks.stock_search``.

As many made-up stocks as the exchange lists lie on one MariaDB. Every query is asked of the process's index, and of the table as
``LIKE '%query%'`` over its code and names, which can't find initial consonants. What a process pays for its index is measured beside it: to read and
sort the whole listing anew, and to look whether that is needed, which happens every two seconds at most.

Prints one JSON object as its last line; times are milliseconds.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from random import Random

from flask_migrate import upgrade
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from benchmarks.tick_to_fill import percentile
from trading import core as trading_core
from trading.core import Core
from trading.database.tables import Stock, table_of
from trading.database.transactions import nothing_to_find
from trading.market.listing import ListedStock
from trading.queries.stocks import StockSearch, listing_version
from trading.services.stock_list import import_stocks
from trading.settings import Settings
from webapp import create_app

LIMIT = 20
QUERIES = (
    "삼성전자",
    "삼ㅅ",
    "ㅅㅅㅈㅈ",
    "ㅅ",
    "전자",
    "005930",
    "59",
    "samsung",
    "없는 이름",
    "%",
)

_STOCKS = table_of(Stock)
_SYLLABLES = "삼성전자현대차한국화학바이오제약금융지주에너지솔루션건설통신반도체"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, default=2_900, help="how many are listed (2900)")
    parser.add_argument("--rounds", type=int, default=50, help="how often each query is asked (50)")
    options = parser.parse_args()
    with MariaDB() as server:
        settings = Settings.model_validate({"database_uri": server.create_database("search")})
        with closing(trading_core.build(settings)) as core:
            print(json.dumps(_measure(core, stocks=options.stocks, rounds=options.rounds)))
    return 0


def _measure(core: Core, *, stocks: int, rounds: int) -> dict[str, float]:
    with create_app(core).app_context():
        upgrade()
    now = datetime.now(UTC)
    core.database.transaction(
        lambda session: import_stocks(session, _listing(stocks), now=now), landed=nothing_to_find
    )
    search = StockSearch(core.database, clock=lambda: now)
    for query in QUERIES:
        print(
            f"{query}: {len(search(query, limit=stocks))} stocks in memory, {len(_by_sql(core, query, stocks))} by SQL"
        )

    def each(ask: Callable[[str], object]) -> list[float]:
        return sorted(_timed(partial(ask, query)) for _ in range(rounds) for query in QUERIES)

    in_memory = each(lambda query: search(query, limit=LIMIT))
    by_sql = each(lambda query: _by_sql(core, query, LIMIT))
    reading = sorted(
        _timed(lambda: StockSearch(core.database, clock=lambda: now)("x", limit=1))
        for _ in range(10)
    )
    looking = sorted(_timed(lambda: core.database.read(listing_version)) for _ in range(rounds))
    return {
        "memory_p50_ms": percentile(in_memory, 0.5),
        "memory_p99_ms": percentile(in_memory, 0.99),
        "sql_p50_ms": percentile(by_sql, 0.5),
        "sql_p99_ms": percentile(by_sql, 0.99),
        "look_p50_ms": percentile(looking, 0.5),
        "read_all_p50_ms": percentile(reading, 0.5),
    }


def _listing(count: int) -> list[ListedStock]:
    draw = Random(1)
    made_up = (
        ListedStock(
            code=f"A{number:06}",
            name="".join(draw.choices(_SYLLABLES, k=draw.randint(2, 7))),
            english_name=f"Company {number}",
            market="KOSPI",
            listed_shares=draw.randint(1, 10**9),
            reference_price=draw.randint(100, 10**6),
        )
        for number in range(10, 10 + count - 1)
    )
    return [
        ListedStock(
            code="A005930", name="삼성전자", english_name="Samsung Electronics", market="KOSPI"
        ),
        *(stock for stock in made_up if stock.code != "A005930"),
    ]


def _by_sql(core: Core, query: str, limit: int) -> Sequence[object]:
    columns = _STOCKS.c.code, _STOCKS.c.name, _STOCKS.c.english_name
    # A code is ASCII, and MariaDB does not compare it with anything else.
    met = columns if query.isascii() else columns[1:]
    wanted = (
        select(*columns)
        .where(or_(*(column.icontains(query, autoescape=True) for column in met)))
        .limit(limit)
    )

    def ask(session: Session) -> Sequence[object]:
        return session.execute(wanted).all()

    return core.database.read(ask)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    sys.exit(main())
