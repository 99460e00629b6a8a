"""What one look for price alerts costs: ``python -m benchmarks.price_alerts``.

A hundred thousand armed alerts of a thousand users lie on a MariaDB with durable commits, an upper and a lower bound on each of fifty thousand watched
stocks; beside them, on a database of its own, a hundredth of that. A look is a real ``check_price_alerts`` in its transaction, COMMIT included, over a
thousand trades of as many stocks in a real Valkey. In one kind of look none of the trades meets a bound, in one these follow two thousand that were
read before, as they do at a thousand trades a second, and in one 500 of them meet an alert, which is told to its owner. The databases are looked at
in turn, and what fired is armed again outside of the measured time. At the end the market crashes, and every lower bound is met at once.

Prints what it does, and as its last line one JSON object. Before that the audit must find nothing.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from flask_migrate import upgrade
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from benchmarks.mariadb import MariaDB
from benchmarks.resting_book import Quote, quotes_of
from launcher.valkey import Valkey
from trading import core as trading_core
from trading.core import Core
from trading.database.clock import utc_now
from trading.database.ids import new_id
from trading.database.tables import (
    AlertCursor,
    PriceAlert,
    User,
    WatchlistDirectory,
    WatchlistItem,
    table_of,
)
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import ListedStock
from trading.market.tick import Position, Tick
from trading.queries.audit import audit
from trading.rules.price_alerts import AlertKind, Approach
from trading.services.check_price_alerts import READ_AGAIN, AlertReport, check_price_alerts
from trading.services.stock_list import import_stocks
from trading.settings import Settings
from webapp import create_app

WARM_UP_LOOKS = 2
USERS_OF_ALERTS = 100
READ_BEFORE = 2
_ROWS_PER_STATEMENT = 5_000

_ALERTS = table_of(PriceAlert)
_UNFIRED = {"fired_at": None, "tick_price": None, "tick_traded_at": None, "tick_position": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large the run is: the options of the command line."""

    alerts: int
    few: int
    ticks: int
    met: int
    rounds: int


class Stream:
    """The tick stream, to which trades are added at ever later places. Trades of now are read again by the next look, aged ones are not."""

    def __init__(self, core: Core, quotes: Sequence[Quote]) -> None:
        self._redis, self._quotes = core.redis, quotes
        self._places = count(int(utc_now().timestamp() * 1_000))
        self._redis.delete(keys.TICK_STREAM)

    def trade(self, *, met: int = 0, crash: bool = False, aged: bool = True) -> None:
        """One trade of each stock: at its price, of the first ``met`` of them a won above it, or all at a tenth."""
        at = utc_now() - (READ_AGAIN if aged else timedelta())
        place = next(self._places)
        with self._redis.pipeline(transaction=False) as pipeline:
            for number, quote in enumerate(self._quotes):
                price = quote.price // 10 if crash else quote.price + (number < met)
                tick = _tick(quote.code, price, at, Position(place, number))
                pipeline.xadd(
                    keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(tick.position)
                )
            pipeline.execute()


def _tick(code: str, price: int, at: datetime, place: Position) -> Tick:
    return Tick(code=code, price=price, volume=1, traded_at=at, received_at=at, position=place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--alerts", type=int, default=100_000, help="armed alerts (default 100000)")
    parser.add_argument(
        "--few", type=int, default=1_000, help="armed alerts beside them (default 1000)"
    )
    parser.add_argument(
        "--ticks",
        type=int,
        default=1_000,
        help="stocks, each with a trade in a look (default 1000)",
    )
    parser.add_argument(
        "--met", type=int, default=500, help="alerts that a look fires (default 500)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="looks of each kind (default 15)")
    plan = Plan(**vars(parser.parse_args()))
    if min(plan.few, plan.alerts) < plan.met or plan.met > plan.ticks:
        parser.error("a look meets one alert of a stock, and no more than there are")
    with (
        tempfile.TemporaryDirectory() as folder,
        MariaDB(innodb_flush_log_at_trx_commit=1) as mariadb,
        Valkey(Path(folder) / "valkey") as valkey,
    ):
        _run(plan, mariadb, valkey)


def _run(plan: Plan, mariadb: MariaDB, valkey: Valkey) -> None:
    quotes = quotes_of(plan.ticks)
    with ExitStack() as closes:
        cores = [
            closes.enter_context(closing(_watched(mariadb, valkey, quotes, plan, alerts=alerts)))
            for alerts in (plan.few, plan.alerts)
        ]
        stream = Stream(cores[0], quotes)
        idle = [
            statistics.median(looks) for looks in _looks(cores, stream, plan, read_before=0, met=0)
        ]
        again = [
            statistics.median(looks)
            for looks in _looks(cores, stream, plan, read_before=READ_BEFORE, met=0)
        ]
        firing = [
            statistics.median(looks)
            for looks in _looks(cores, stream, plan, read_before=0, met=plan.met)
        ]
        crash_s, crashed, longest_ms = _crash(cores[-1], stream)
        print(
            f"{crashed:,} alerts fired by a crash in {crash_s:.1f} s; the longest transaction took {longest_ms:.0f} ms"
        )
        breaches = list(_breaches(cores))
    if breaches:
        sys.exit(f"The audit found {breaches}: the figures mean nothing.")
    print("the audit finds nothing")
    print(
        json.dumps(
            {
                "idle_ms": round(idle[-1], 1),
                "idle_ratio": round(idle[-1] / idle[0], 2),
                "read_again_ms": round(again[-1], 1),
                "firing_ms": round(firing[-1], 1),
                "firing_ratio": round(firing[-1] / firing[0], 2),
                "crash_alerts_per_s": round(crashed / crash_s),
            }
        )
    )


def _watched(
    mariadb: MariaDB, valkey: Valkey, quotes: Sequence[Quote], plan: Plan, *, alerts: int
) -> Core:
    """A core on a database with so many armed alerts, of which ``plan.met`` are a won above the price of a stock of their own."""
    uri = mariadb.create_database(f"alerts_{alerts}")
    core = trading_core.build(
        Settings.model_validate(
            {"database_uri": uri, "redis_url": valkey.url, "database_timeout_s": 600}
        )
    )
    with create_app(core).app_context():
        upgrade()
    now, began = utc_now(), time.perf_counter()
    listing = [
        ListedStock(code=one.code, name=one.code, market="KOSPI", reference_price=one.price)
        for one in quotes
    ]
    core.database.transaction(
        lambda session: import_stocks(session, listing, now=now), landed=nothing_to_find
    )
    users = [new_id() for _ in range(max(alerts // USERS_OF_ALERTS, 1))]
    profile = {
        "name": "-",
        "password_hash": "",
        "role": "USER",
        "created_at": now,
        "deleted_at": None,
    }
    directory = {"name": "-", "position": 0, "created_at": now}
    items = [
        {
            "id": new_id(),
            "directory_id": users[number % len(users)],
            # Neighbouring users watch other stocks, and a directory none twice.
            "stock_code": quotes[(number + number // len(quotes)) % len(quotes)].code,
            "position": number // len(users),
            "memo": None,
            "created_at": now,
        }
        for number in range(alerts // 2)
    ]
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (User, [{"id": one, "email": f"{one.hex}@example.com", **profile} for one in users]),
        (WatchlistDirectory, [{"id": one, "user_id": one, **directory} for one in users]),
        (WatchlistItem, items),
        (
            PriceAlert,
            list(_alerts(items, {one.code: one.price for one in quotes}, met=plan.met, now=now)),
        ),
    ]
    with core.database.engine.begin() as connection:
        for model, of_model in rows:
            for start in range(0, len(of_model), _ROWS_PER_STATEMENT):
                connection.execute(
                    insert(table_of(model)), of_model[start : start + _ROWS_PER_STATEMENT]
                )
    with core.database.engine.connect() as connection:
        connection.exec_driver_sql(
            "ANALYZE TABLE price_alerts, watchlist_items, watchlist_directories"
        ).all()
    print(
        f"{alerts:,} armed alerts of {len(users):,} users, made in {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    return core


def _alerts(
    items: Sequence[dict[str, Any]], prices: dict[str, int], *, met: int, now: datetime
) -> Iterator[dict[str, Any]]:
    """Bounds one to thirty percent away from the price, but for the nearest one of each of the first stocks: a won above it."""
    near = list(prices)[:met]
    waiting = set(near)
    for number, item in enumerate(items):
        price, apart = prices[item["stock_code"]], 1 + number % 30
        nearest = item["stock_code"] in waiting
        waiting.discard(item["stock_code"])
        armed = {
            "item_id": item["id"],
            "stock_code": item["stock_code"],
            "armed_at": now,
            "armed_position": 0,
            **_UNFIRED,
        }
        upper = price + 1 if nearest else -(-price * (100 + apart) // 100)
        yield {**armed, "kind": AlertKind.UPPER, "approach": Approach.FROM_BELOW, "bound": upper}
        lower = price * (100 - apart) // 100
        yield {**armed, "kind": AlertKind.LOWER, "approach": Approach.FROM_ABOVE, "bound": lower}


def _looks(
    cores: Sequence[Core], stream: Stream, plan: Plan, *, read_before: int, met: int
) -> list[list[float]]:
    """What each look at each database took, in ms, the databases in turn."""
    took: list[list[float]] = [[] for _ in cores]
    for number in range(-WARM_UP_LOOKS, plan.rounds):
        _begin_behind_the_stream(cores)
        for _ in range(read_before):
            stream.trade(aged=False)
        for core in cores:
            _look(core)
        stream.trade(met=met, aged=read_before == 0)
        for core, mine in zip(cores, took, strict=True):
            look_ms, report = _look(core)
            if (report.ticks, report.fired, report.gap) != (
                plan.ticks * (1 + read_before),
                met,
                False,
            ):
                sys.exit(
                    f"{met} alerts were to be fired by {plan.ticks} ticks, and the look says {report}."
                )
            if number >= 0:
                mine.append(look_ms)
    for alerts, mine in zip((plan.few, plan.alerts), took, strict=True):
        spread = f"{min(mine):.0f} … {statistics.median(mine):.0f} … {max(mine):.0f}"
        behind = f", behind {plan.ticks * read_before:,} that are read again" if read_before else ""
        print(
            f"{plan.ticks:,} ticks that meet {met} of {alerts:,} alerts{behind}: {spread} ms",
            flush=True,
        )
    return took


def _look(core: Core) -> tuple[float, AlertReport]:
    """One look as its task makes it, and what it took in ms."""
    began = time.perf_counter()
    report = core.database.transaction(
        lambda session: check_price_alerts(session, stream=core.ticks, now=core.clock()),
        landed=nothing_to_find,
    )
    return (time.perf_counter() - began) * 1_000, report


def _begin_behind_the_stream(cores: Sequence[Core]) -> None:
    """Arm what has fired, and put the cursor, as though all had been quiet, behind all that was traded."""
    for core in cores:
        last = core.ticks.latest(limit=1)
        place = last[0].position.packed if last else 0

        def work(session: Session, place: int = place) -> None:
            back = {"armed_position": place, **_UNFIRED}
            session.execute(update(_ALERTS).where(_ALERTS.c.fired_at.is_not(None)).values(**back))
            session.execute(update(table_of(AlertCursor)).values(position=place))

        core.database.transaction(work, landed=nothing_to_find)


def _crash(core: Core, stream: Stream) -> tuple[float, int, float]:
    """How long it takes to fire every lower bound (s), how many these are, and the longest transaction (ms)."""
    _begin_behind_the_stream([core])
    lower = select(func.count()).where(_ALERTS.c.kind == AlertKind.LOWER)
    waiting = core.database.read(lambda session: session.scalar(lower) or 0)
    stream.trade(crash=True)
    took, fired = [], 0
    while fired < waiting:
        look_ms, report = _look(core)
        took.append(look_ms)
        fired += report.fired
        if not report.fired:
            sys.exit(f"{waiting} alerts were to be fired, and {fired} were.")
    return sum(took) / 1_000, fired, max(took)


def _breaches(cores: Sequence[Core]) -> Iterator[str]:
    for core in cores:
        for finding in core.database.snapshot(lambda session: list(audit(session))):
            if finding.breaches:
                yield f"{finding.name}: {finding.breaches}"


if __name__ == "__main__":
    main()
