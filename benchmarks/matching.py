"""Benchmark of the matcher and of the time from trade to fill: `python -m benchmarks.matching`.

Two order books are on one MariaDB with durable commits: 10,000 and 1,000,000 resting limit orders.
In each the same scan is measured: a real `match_orders` in its transaction, COMMIT included, over
the tick stream in a real Valkey. Each of 2,000 stocks has one trade in it: a second's worth at
2,000 ticks per second, with a period of half a second, and every stock of the market at once, which
is the harder case. 500 of the trades meet an order. The books are scanned in turn, so that both run
under the same load, and restored outside of the measured time. Idle scans, in which no trade meets
an order, follow.

Then the whole system runs on the large book: a feed of 2,000 ticks per second over all stocks,
Redis, beat, and a worker with two pool processes. The result is each fill's tick age as stored in
the execution: from the relayer's receipt to the start of the execution's transaction.

Exits with status 1 if a book fails the audit. Prints its progress and, as its last line, one JSON
object.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from multiprocessing import get_context
from pathlib import Path

from flask_migrate import upgrade
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from benchmarks.celery_processes import beat, worker
from benchmarks.command_line import percentile, plan_from_command_line
from benchmarks.mariadb import MariaDB
from benchmarks.market_setup import require_clean_audit
from benchmarks.resting_book import BookPlan, Quote, fill_book, quotes_of
from benchmarks.tick_feed import Feed, run, trade
from launcher.valkey import Valkey
from trading import bootstrap as trading_core
from trading.bootstrap import Core
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.exchange.hours import KrxHours
from trading.exchange.order_types import TimeInForce
from trading.exchange.time import KST, trade_date
from trading.marketdata.ticks import Position
from trading.orders.match import match_orders
from trading.orders.tables import MatchCursorRow, OrderExecutionRow, OrderRow, PendingFillRow
from trading.redis import keys
from webapp import create_app

TICKS_PER_S = 2_000
WARM_UP_SCANS = 2
QUIET_S = 3.0
# Room for a million orders with their indexes (600 MB). With MariaDB's default of 128 MB the server
# would be misconfigured.
BUFFER_POOL_BYTES = 2**30
AUDIT_TIMEOUT_S = 600
DEADLINE_S = 60.0
SHARES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of the run: the options of the command line."""

    resting: int = 1_000_000
    few: int = 10_000
    stocks: int = 2_000
    crossed: int = 500
    users: int = 2_000
    rounds: int = 15
    seconds: float = 30.0
    fills: float = 40.0


def main() -> None:
    plan = plan_from_command_line(Plan, __doc__)
    if min(plan.few, plan.resting) < plan.stocks or plan.crossed > plan.stocks:
        sys.exit("every stock has a target in each book, and a scan meets at most these")
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        _run(plan, mariadb, valkey, Path(folder))


def _run(plan: Plan, mariadb: MariaDB, valkey: Valkey, folder: Path) -> None:
    quotes = quotes_of(plan.stocks)
    at = _time_in_session(utc_now())
    with ExitStack() as closes:
        order_books = [
            closes.enter_context(
                closing(_book(mariadb, valkey, quotes, plan, resting=resting, at=at))
            )
            for resting in (plan.few, plan.resting)
        ]
        crossing = _scan_durations(order_books, quotes, plan, crossed=plan.crossed)
        idle = _scan_durations(order_books, quotes, plan, crossed=0)
        uri = order_books[-1].settings.database_uri.get_secret_value()
        live = closes.enter_context(
            closing(trading_core.build(_settings(uri, valkey, market_hours="always")))
        )
        _date_day_orders_now(live)
        touched = range(plan.crossed, plan.stocks)
        feed = Feed(
            redis_url=valkey.url,
            quotes=quotes,
            touched=touched[: int((plan.seconds - 1) * plan.fills)],
            ticks_per_s=TICKS_PER_S,
            touches_per_s=plan.fills,
            quiet_s=QUIET_S,
            seconds=QUIET_S + plan.seconds,
        )
        ages = sorted(_tick_ages_ms(live, feed, folder))
        for core in order_books:
            require_clean_audit(core)
    shown = ", ".join(f"p{share:.0%}"[:-1] + f" {percentile(ages, share):.0f}" for share in SHARES)
    print(f"age of a fill's tick, ms: {shown}", flush=True)
    few, many = (statistics.median(scans) for scans in crossing)
    print(
        json.dumps(
            {
                "scan_ms_10k": round(few, 1),
                "scan_ms_1m": round(many, 1),
                "ratio": round(many / few, 3),
                "idle_scan_ms": round(statistics.median(idle[-1]), 1),
                "tick_to_fill_p99_ms": round(percentile(ages, 0.99), 1),
            }
        )
    )


def _date_day_orders_now(core: Core) -> None:
    """Let the live trades fill the DAY orders too, which were placed on the day of the scans."""
    day_orders = (OrderRow.time_in_force == TimeInForce.DAY) & OrderRow.finished_at.is_(None)
    core.database.transaction(
        lambda session: session.execute(
            update(OrderRow).where(day_orders).values(accepted_at=core.clock())
        ),
        find_committed=rerun_is_safe,
    )


def _time_in_session(now: datetime) -> datetime:
    """Return 10:30 in Korea on the latest trading day: scans respect the exchange's hours."""
    day = trade_date(KrxHours({}).day_end_before(now))
    return datetime.combine(day, time_of_day(10, 30), KST).astimezone(UTC)


def _settings(uri: str, valkey: Valkey, **more: object) -> Settings:
    return Settings.model_validate(
        {
            "database_uri": uri,
            "redis_url": valkey.url,
            "database_timeout_s": AUDIT_TIMEOUT_S,
            "starting_cash": 10**12,
            "cash_max": 10**14,
            **more,
        }
    )


def _book(
    mariadb: MariaDB,
    valkey: Valkey,
    quotes: Sequence[Quote],
    plan: Plan,
    *,
    resting: int,
    at: datetime,
) -> Core:
    """Return a core on an order book of this size, with its clock at `at`."""
    settings = _settings(mariadb.create_database(f"resting_{resting}"), valkey, market_hours="krx")
    core = trading_core.build(settings, clock=lambda: at)
    with create_app(core).app_context():
        upgrade()
    began = time.perf_counter()
    with core.database.engine.connect() as connection:
        connection.exec_driver_sql(f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}")
    fill_book(core, quotes, BookPlan(resting=resting, users=plan.users, placed_at=at))
    print(
        f"a book of {resting:,} resting orders, made in {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    return core


def _scan_durations(
    order_books: Sequence[Core], quotes: Sequence[Quote], plan: Plan, *, crossed: int
) -> list[list[float]]:
    """Return the duration (ms) of each scan of each book. The books take turns."""
    before = _write_ticks(order_books[0], quotes, crossed=crossed)
    took: list[list[float]] = [[] for _ in order_books]
    for number in range(-WARM_UP_SCANS, plan.rounds):
        for core, mine in zip(order_books, took, strict=True):
            _restore(core, before)
            scan_ms = _scan(core, ticks=len(quotes), crossed=crossed)
            if number >= 0:
                mine.append(scan_ms)
    for core in order_books:
        _restore(core, before)
    for resting, mine in zip((plan.few, plan.resting), took, strict=True):
        spread = f"{min(mine):.0f} … {statistics.median(mine):.0f} … {max(mine):.0f}"
        print(
            f"{len(quotes):,} ticks that meet {crossed} of {resting:,} orders: {spread} ms",
            flush=True,
        )
    return took


def _write_ticks(core: Core, quotes: Sequence[Quote], *, crossed: int) -> Position:
    """Write a stream with one trade of each stock, of which the first `crossed` meet their target.

    Return the position from which the matcher reads them.
    """
    now = core.clock()
    first_ms = int(now.timestamp() * 1_000)
    core.redis.delete(keys.TICK_STREAM)
    with core.redis.pipeline(transaction=False) as pipeline:
        for number, quote in enumerate([quotes[0], *quotes]):
            position = Position(first_ms, number)
            tick = trade(quote, is_met=0 < number <= crossed, at=now, position=position)
            pipeline.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(position))
        pipeline.execute()
    return Position(first_ms, 0)


def _scan(core: Core, *, ticks: int, crossed: int) -> float:
    """Run one scan as the matcher's task does, and return its duration (ms)."""
    began = time.perf_counter()
    report = core.run(match_orders, shard=0, stream=core.ticks)
    took_ms = (time.perf_counter() - began) * 1_000
    if (report.ticks, report.filled, report.gap) != (ticks, crossed, False):
        sys.exit(
            f"{crossed} orders were to be filled by {ticks} ticks, and the scan reports {report}."
        )
    return took_ms


def _restore(core: Core, place: Position) -> None:
    """Restore filled orders to the book, and the matcher's cursor to `place`."""

    def work(session: Session) -> None:
        filled = select(PendingFillRow.order_id)
        back = {"book_price": OrderRow.limit_price, "next_attempt_at": None}
        session.execute(
            update(OrderRow)
            .where(OrderRow.id.in_(filled))
            .values(**back)
            .execution_options(synchronize_session=False)
        )
        session.execute(delete(PendingFillRow))
        session.execute(delete(MatchCursorRow))
        # As left by a matcher that has scanned all the time.
        scanned_at = core.clock() - timedelta(milliseconds=core.settings.match_period_ms)
        session.execute(
            insert(MatchCursorRow).values(
                shards=1, shard=0, position=place.packed, scanned_at=scanned_at
            )
        )

    core.database.transaction(work, find_committed=rerun_is_safe)


def _tick_ages_ms(core: Core, feed: Feed, folder: Path) -> list[float]:
    """Run the whole system until every trade that meets an order has become an applied fill."""
    core.redis.flushdb()
    core.database.transaction(
        lambda session: session.execute(delete(MatchCursorRow)), find_committed=rerun_is_safe
    )
    first = new_id()
    applied = select(OrderExecutionRow.tick_age_ms).where(
        OrderExecutionRow.id > first, OrderExecutionRow.applied_at.is_not(None)
    )
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as feeding,
        worker(core.settings, folder / "worker.log"),
        beat(core.settings, folder / "beat.log"),
    ):
        fed = feeding.submit(run, feed).result()
        print(f"{fed.ticks:,} ticks in {feed.seconds:g} s, {fed.touches} met an order", flush=True)
        deadline = time.monotonic() + DEADLINE_S
        while len(ages := core.database.read(lambda session: session.scalars(applied).all())) < (
            fed.touches
        ):
            if time.monotonic() > deadline:
                sys.exit(f"Only {len(ages)} orders were filled within {DEADLINE_S:g} s.")
            time.sleep(0.1)
    return [float(age) for age in ages]


if __name__ == "__main__":
    main()
