"""What one look of the matcher costs, and how soon a trade becomes a fill: ``python -m benchmarks.matching``.

Two books lie on one MariaDB with durable commits: 10,000 resting limit orders and 1,000,000. In each the same look is measured: a real
``match_orders`` in its transaction, COMMIT included, over the tick stream in a real Valkey. Each of 2,000 stocks has one trade in it: a whole second's
worth at 2,000 ticks a second, where a period is half a second, and every stock of the market at once, which is the harder case. 500 of the trades meet
an order. The books are looked at in turn, so that both find the machine alike, and put back outside of the measured time. Idle looks, with the same
trades beside the orders, follow.

Then the whole system runs on the large book, with 2,000 ticks a second over all stocks, as ``benchmarks.tick_to_fill`` says. At the end the
audit must find nothing.

Prints what it does, and as its last line one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

from flask_migrate import upgrade
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from benchmarks.resting_book import BookPlan, Quote, fill_book, quotes_of
from benchmarks.tick_feed import Feed, trade
from benchmarks.tick_to_fill import Latencies, measure, percentile
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.clock import utc_now
from trading.database.tables import MatchCursor, Order, OrderTouch
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.tick import Position
from trading.queries.audit import audit
from trading.rules.exchange_time import KST, trade_date
from trading.rules.market_hours import KrxHours
from trading.services.match_orders import match_orders
from trading.settings import Settings
from webapp import create_app

TICKS_PER_S = 2_000
WARM_UP_LOOKS = 2
QUIET_S = 3.0
# Room for a million orders with their indexes, some 600 MB: MariaDB's default of 128 MB would be a server that nobody has set up.
BUFFER_POOL_BYTES = 2**30
AUDIT_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large the run is: the options of the command line."""

    resting: int
    few: int
    stocks: int
    crossed: int
    users: int
    rounds: int
    seconds: float
    fills: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--resting", type=int, default=1_000_000, help="orders in the large book (default 1000000)"
    )
    parser.add_argument(
        "--few", type=int, default=10_000, help="orders in the small book (default 10000)"
    )
    parser.add_argument(
        "--stocks",
        type=int,
        default=2_000,
        help="stocks, each with a trade in a look (default 2000)",
    )
    parser.add_argument(
        "--crossed", type=int, default=500, help="orders that a look fills (default 500)"
    )
    parser.add_argument(
        "--users", type=int, default=10_000, help="whose orders these are (default 10000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="looks at each book, of each kind (default 15)"
    )
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="how long the whole system runs (default 30)"
    )
    parser.add_argument(
        "--fills", type=float, default=40.0, help="orders met a second meanwhile (default 40)"
    )
    plan = Plan(**vars(parser.parse_args()))
    if min(plan.few, plan.resting) < plan.stocks or plan.crossed > plan.stocks:
        parser.error("every stock has a target in each book, and a look meets at most these")
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        _run(plan, mariadb, valkey, Path(folder))


def _run(plan: Plan, mariadb: MariaDB, valkey: Valkey, folder: Path) -> None:
    quotes = quotes_of(plan.stocks)
    at = _in_session(utc_now())
    with ExitStack() as closes:
        books = [
            closes.enter_context(
                closing(_book(mariadb, valkey, quotes, plan, resting=resting, at=at))
            )
            for resting in (plan.few, plan.resting)
        ]
        crossing = _looks(books, quotes, plan, crossed=plan.crossed)
        idle = _looks(books, quotes, plan, crossed=0)
        uri = books[-1].settings.database_uri.get_secret_value()
        live = closes.enter_context(
            closing(trading_core.build(_settings(uri, valkey, market_hours="always")))
        )
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
        latencies = measure(live, feed, folder)
        _tell(latencies)
        _check(books)
    few, many = (statistics.median(looks) for looks in crossing)
    print(
        json.dumps(
            {
                "scan_ms_10k": round(few, 1),
                "scan_ms_1m": round(many, 1),
                "ratio": round(many / few, 3),
                "idle_scan_ms": round(statistics.median(idle[-1]), 1),
                "tick_to_fill_p99_ms": round(percentile(latencies.seen, 0.99), 1),
            }
        )
    )


def _in_session(now: datetime) -> datetime:
    """Half past ten in Korea on the latest trading day: the looks keep the exchange's hours."""
    day = trade_date(KrxHours({}).day_end_before(now))
    return datetime.combine(day, time_of_day(10, 30), KST).astimezone(UTC)


def _settings(uri: str, valkey: Valkey, **more: object) -> Settings:
    return Settings.model_validate(
        {
            "database_uri": uri,
            "redis_url": valkey.url,
            "database_timeout_s": AUDIT_TIMEOUT_S,
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
    """A core on a book of this size, whose clock stands at ``at``."""
    settings = _settings(mariadb.create_database(f"resting_{resting}"), valkey, market_hours="krx")
    core = trading_core.build(settings, clock=lambda: at)
    with create_app(core).app_context():
        upgrade()
    began = time.perf_counter()
    with core.database.engine.connect() as connection:
        connection.exec_driver_sql(f"SET GLOBAL innodb_buffer_pool_size = {BUFFER_POOL_BYTES}")
    fill_book(core, quotes, BookPlan(resting=resting, users=plan.users, placed_at=utc_now()))
    print(
        f"a book of {resting:,} resting orders, made in {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    return core


def _looks(
    books: Sequence[Core], quotes: Sequence[Quote], plan: Plan, *, crossed: int
) -> list[list[float]]:
    """What each look at each book took, in ms, the books in turn."""
    before = _write_ticks(books[0], quotes, crossed=crossed)
    took: list[list[float]] = [[] for _ in books]
    for number in range(-WARM_UP_LOOKS, plan.rounds):
        for core, mine in zip(books, took, strict=True):
            _set_back(core, before)
            look_ms = _look(core, ticks=len(quotes), crossed=crossed)
            if number >= 0:
                mine.append(look_ms)
    for core in books:
        _set_back(core, before)
    for resting, mine in zip((plan.few, plan.resting), took, strict=True):
        spread = f"{min(mine):.0f} … {statistics.median(mine):.0f} … {max(mine):.0f}"
        print(
            f"{len(quotes):,} ticks that meet {crossed} of {resting:,} orders: {spread} ms",
            flush=True,
        )
    return took


def _write_ticks(core: Core, quotes: Sequence[Quote], *, crossed: int) -> Position:
    """A stream with one trade of each stock, of which the first ``crossed`` meet their target; the place from which a matcher reads them."""
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


def _look(core: Core, *, ticks: int, crossed: int) -> float:
    """One look of the matcher as its task makes it; what it took in ms."""
    hours = core.market_hours()
    began = time.perf_counter()
    report = core.database.transaction(
        lambda session: match_orders(
            session,
            shard=0,
            stream=core.ticks,
            hours=hours,
            settings=core.settings,
            now=core.clock(),
        ),
        landed=nothing_to_find,
    )
    took_ms = (time.perf_counter() - began) * 1_000
    if (report.ticks, report.filled, report.gap) != (ticks, crossed, False):
        sys.exit(
            f"{crossed} orders were to be filled by {ticks} ticks, and the look says {report}."
        )
    return took_ms


def _set_back(core: Core, place: Position) -> None:
    """Put what was filled back into the book, and the matcher's cursor back to this place."""

    def work(session: Session) -> None:
        filled = select(OrderTouch.order_id)
        back = {"book_price": Order.limit_price, "wake_at": None}
        session.execute(
            update(Order)
            .where(Order.id.in_(filled))
            .values(**back)
            .execution_options(synchronize_session=False)
        )
        session.execute(delete(OrderTouch))
        session.execute(delete(MatchCursor))
        # As a matcher leaves it that has been looking all the time.
        scanned_at = core.clock() - timedelta(milliseconds=core.settings.match_period_ms)
        session.execute(
            insert(MatchCursor).values(
                shards=1, shard=0, position=place.packed, scanned_at=scanned_at
            )
        )

    core.database.transaction(work, landed=nothing_to_find)


def _tell(latencies: Latencies) -> None:
    fed = latencies.fed
    print(
        f"{fed.ticks:,} ticks were fed, of which {fed.touches} met an order; to write one took {fed.lag_max_ms} ms at most"
    )
    for name, values in (
        ("from the tick to the fill seen committed", latencies.seen),
        ("age of the tick that the execution keeps", latencies.kept),
        ("looks that filled something", latencies.looks),
    ):
        shown = ", ".join(
            f"p{share:.0%}"[:-1] + f" {percentile(values, share):.0f}"
            for share in (0.5, 0.9, 0.99, 1.0)
        )
        print(f"{name}, ms: {shown}", flush=True)


def _check(cores: Iterable[Core]) -> None:
    """The books are in order; otherwise the figures mean nothing."""
    breaches = list(_breaches(cores))
    if breaches:
        sys.exit(f"The audit found {breaches}: the figures mean nothing.")
    print("the audit finds nothing in either book")


def _breaches(cores: Iterable[Core]) -> Iterator[str]:
    for core in cores:
        for finding in core.database.snapshot(lambda session: list(audit(session))):
            if finding.breaches:
                yield f"{finding.name}: {finding.breaches}"


if __name__ == "__main__":
    main()
