"""How many trades a second become candles: ``python -m benchmarks.candles``.

The tick stream in a real Valkey holds 100,000 trades, all that it ever holds, of 2,000 stocks over some minutes. Each round counts all of them into the minute and
day candles of an emptied table on MariaDB with durable commits, in looks of the builder as its task makes them. The yardstick of the same round reads
the same stream into ticks and does nothing with them. At the end the candles hold every share that was traded.

Prints what it does, and as its last line one JSON object.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from flask_migrate import upgrade
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.tables import Candle, CandleCursor, table_of
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import ListedStock
from trading.market.tick import Position, Tick
from trading.rules.candles import CandleInterval
from trading.services.build_candles import TICKS_MAX, build_candles
from trading.services.stock_list import import_stocks
from trading.settings import Settings
from webapp import create_app

# Ten o'clock of a Friday in Korea.
BEGAN = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
TICKS_PER_S = 500
PIPELINE = 5_000

_CANDLES = table_of(Candle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--ticks", type=int, default=100_000, help="trades in the stream (default 100000)"
    )
    parser.add_argument(
        "--stocks", type=int, default=2_000, help="stocks that they are of (default 2000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="times that all are counted (default 5)"
    )
    plan = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        database = {"database_uri": mariadb.create_database("candles"), "redis_url": valkey.url}
        core = trading_core.build(Settings.model_validate({**database, "market_hours": "krx"}))
        try:
            _run(core, ticks=plan.ticks, stocks=plan.stocks, rounds=plan.rounds)
        finally:
            core.close()


def _run(core: Core, *, ticks: int, stocks: int, rounds: int) -> None:
    with create_app(core).app_context():
        upgrade()
    codes = [f"A{100_000 + number}" for number in range(stocks)]
    listing = [ListedStock(code=code, name=code, market="KOSPI") for code in codes]
    core.database.transaction(
        lambda session: import_stocks(session, listing, now=BEGAN), landed=nothing_to_find
    )
    shares = _write(core, codes, ticks)
    built, read, candles = [], [], 0
    for _ in range(rounds):
        gc.collect()  # What was made before is not collected while one of the two is timed.
        read.append(ticks / _read_s(core))
        _empty(core)
        took_s, candles = _build_s(core, ticks)
        built.append(ticks / took_s)
        print(
            f"{ticks:,} trades: {built[-1]:,.0f}/s into {candles:,} candles written, {read[-1]:,.0f}/s only read",
            flush=True,
        )
    for interval in (CandleInterval.MINUTE, CandleInterval.DAY):
        if core.database.read(partial(_volume, interval=interval)) != shares:
            sys.exit(f"The candles of {interval} do not hold the {shares} shares that were traded.")
    ticks_per_s, read_per_s = statistics.median(built), statistics.median(read)
    print(
        json.dumps(
            {
                "ticks_per_s": round(ticks_per_s),
                "read_per_s": round(read_per_s),
                "ratio": round(ticks_per_s / read_per_s, 3),
            }
        )
    )


def _write(core: Core, codes: list[str], ticks: int) -> int:
    """Put the trades into the stream; how many shares were traded in all."""
    shares = 0
    for start in range(0, ticks, PIPELINE):
        with core.redis.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + PIPELINE, ticks)):
                traded_at = BEGAN + timedelta(seconds=number // TICKS_PER_S)
                volume = 1 + number % 7
                shares += volume
                tick = Tick(
                    # A prime apart, so that the stocks come in another order each time.
                    code=codes[number * 7_919 % len(codes)],
                    price=70_000 + 100 * (number % 13),
                    base=70_000,
                    volume=volume,
                    traded_at=traded_at,
                    received_at=traded_at,
                    exchange="KRX",
                    position=Position(int(traded_at.timestamp() * 1_000), number),
                )
                pipeline.xadd(
                    keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(tick.position)
                )
            pipeline.execute()
    return shares


def _read_s(core: Core) -> float:
    """How long it takes to read the whole stream."""
    began, place = time.perf_counter(), None
    while True:
        part = core.ticks.after(place, limit=TICKS_MAX)
        place = part.end
        if not part.more:
            return time.perf_counter() - began


def _volume(session: Session, *, interval: CandleInterval) -> int:
    return int(
        session.scalar(
            select(func.sum(_CANDLES.c.volume)).where(_CANDLES.c.candle_interval == interval)
        )
        or 0
    )


def _empty(core: Core) -> None:
    def work(session: Session) -> None:
        session.execute(delete(_CANDLES))
        session.execute(delete(table_of(CandleCursor)))

    core.database.transaction(work, landed=nothing_to_find)


def _build_s(core: Core, ticks: int) -> tuple[float, int]:
    """How long it takes to count them all, and how many candles were written for it."""
    hours = core.market_hours()
    began, counted, written = time.perf_counter(), 0, 0
    while True:
        report = core.database.transaction(
            lambda session: build_candles(session, stream=core.ticks, hours=hours, now=BEGAN),
            landed=nothing_to_find,
        )
        counted, written = counted + report.ticks, written + report.candles
        if not report.more:
            break
    if counted != ticks:
        sys.exit(f"{counted} of {ticks} trades were counted.")
    return time.perf_counter() - began, written


if __name__ == "__main__":
    main()
