"""Books for tests: a trading core on a real, migrated database, with the few steps that most tests begin with.

The database is built by the migrations once per server and emptied before each test; the market is a real Valkey that a test writes ticks to.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from flask_migrate import upgrade
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from trading import bootstrap as trading_core
from trading.accounts.accounts import register
from trading.audit.checks import Finding, audit
from trading.bootstrap import Core
from trading.config.settings import Settings
from trading.db.declarative import Base
from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.marketdata.ticks import Position, Tick
from trading.orders.amend import AmendOrder, amend_order
from trading.orders.apply_to_holdings import update_portfolios
from trading.orders.close import cancel_order
from trading.orders.execute import execute_orders
from trading.orders.expire import expire_orders
from trading.orders.match import MatchReport, match_orders
from trading.orders.place import PlaceOrder, place_order
from trading.orders.queries import get_order
from trading.orders.records import OrderRecord
from trading.orders.settle import settle_executions
from trading.payments.refunds import process_refund
from trading.payments.verify import check_payment
from trading.redis import keys
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import seed_listing
from trading.tasks import SINGLE_ID_TASKS, AffectedIds, Task, TaskRequest
from webapp import create_app

T = TypeVar("T")

SAMSUNG = "A005930"
HYNIX = "A000660"

# Hashing for tests: the algorithm is the real one, its cost the least that the library allows.
CHEAP_PASSWORDS = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "argon2_parallelism": 1}

# A test asks as often as it must, from one address; those that are about the limits switch them on, and then a busy machine is no outage.
UNLIMITED = {"rate_limits": False, "request_count_timeout_ms": 10_000}
# All requests are counted, and none is too many.
COUNTED = {
    name: "999999 per second" for name in Settings.model_fields if name.startswith("rate_limit_")
}


class TestClock:
    """A clock that stands until it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Move on by a ``timedelta``'s keywords."""
        self.now += timedelta(**span)


@dataclass
class TradingHarness:
    """A core, its clock, and the wake-ups that its committed transactions sent (none of which anybody acts on by itself)."""

    core: Core
    clock: TestClock
    sent: list[TaskRequest] = field(default_factory=list)
    _ticks: int = 0
    _place: Position = field(default_factory=lambda: Position(0, 0))

    @property
    def settings(self) -> Settings:
        return self.core.settings

    def tick(
        self,
        price: int,
        code: str = SAMSUNG,
        *,
        base: int | None = None,
        age_ms: int = 0,
        volume: int = 1,
    ) -> Tick:
        """Print a trade at ``price`` won, received ``age_ms`` ago, as the relayer would leave it in Redis."""
        self._ticks += 1
        received = self.clock() - timedelta(milliseconds=age_ms)
        tick = Tick(
            code=code,
            price=price,
            base=base,
            volume=volume,
            cumulative_volume=self._ticks,
            traded_at=received,
            received_at=received,
            position=Position(int(received.timestamp() * 1_000), self._ticks),
        )
        # An aged tick is put at the end of the stream all the same, as one is that the relayer held back.
        self._place = max(tick.position, Position(self._place.ms, self._place.n + 1))
        tick = msgspec.structs.replace(tick, position=self._place)
        self.core.redis.set(keys.last_tick(code), tick.to_json())
        self.core.redis.xadd(
            keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(tick.position)
        )
        return tick

    def user(self) -> UUID:
        """A registered user with the starting cash."""
        user_id = new_id()
        self.core.database.transaction(
            lambda session: register(
                session,
                user_id=user_id,
                email=f"{user_id.hex}@example.com",
                password_hash="",
                name="시험",
                settings=self.settings,
                now=self.clock(),
            ),
            find_committed=rerun_is_safe,
        )
        return user_id

    def place(
        self,
        user_id: UUID,
        side: Side,
        quantity: int,
        code: str = SAMSUNG,
        *,
        limit: int | None = None,
        time_in_force: TimeInForce = TimeInForce.DAY,
        client_order_id: str | None = None,
    ) -> OrderRecord:
        """Place a market order, or with ``limit`` (won) a limit order; its wake-up is kept in ``sent``."""
        command = PlaceOrder(
            order_id=new_id(),
            user_id=user_id,
            stock_code=code,
            side=side,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            time_in_force=time_in_force,
            quantity=quantity,
            limit_price=limit,
            client_order_id=client_order_id,
        )
        return self.do(
            lambda session: place_order(session, command, now=self.clock(), **self.market())
        )

    def amend(
        self,
        user_id: UUID,
        order_id: UUID,
        *,
        limit: int | None = None,
        quantity: int | None = None,
    ) -> None:
        """Amend an order; a wake-up is kept in ``sent``."""
        command = AmendOrder(
            order_id=order_id, user_id=user_id, limit_price=limit, quantity=quantity
        )
        self.do(lambda session: amend_order(session, command, now=self.clock(), **self.market()))

    def cancel(self, user_id: UUID, order_id: UUID) -> None:
        """Cancel an order."""
        self.do(
            lambda session: cancel_order(
                session, user_id=user_id, order_id=order_id, now=self.clock()
            )
        )

    def match(self, shard: int = 0) -> MatchReport:
        """One look of a matcher at the tick stream; its wake-ups are kept in ``sent``."""
        hours = self.core.market_hours()
        return self.do(
            lambda session: match_orders(
                session,
                shard=shard,
                stream=self.core.ticks,
                hours=hours,
                settings=self.settings,
                now=self.clock(),
            )
        )

    def expire(self) -> int | None:
        """Expire one batch of orders whose day has ended; how many."""
        hours = self.core.market_hours()
        expired = self.do(
            lambda session: expire_orders(
                session, hours=hours, settings=self.settings, now=self.clock()
            )
        )
        return None if expired is None else len(expired.order_ids)

    def do(self, work: Callable[[Session], T]) -> T:
        """Run ``work`` in a transaction."""
        return self.core.database.transaction(work, find_committed=rerun_is_safe)

    def market(self) -> dict[str, Any]:
        """What a use case that looks at the market is given besides its command."""
        return {
            "quotes": self.core.quotes,
            "hours": self.core.market_hours(),
            "settings": self.settings,
        }

    def run(self, wakeup: TaskRequest) -> object:
        """Do what a worker does on this wake-up; of fills how many were settled or applied."""
        if wakeup.task in SINGLE_ID_TASKS:
            return self._ask_portone(wakeup)
        now, market = self.clock(), self.market()
        stages = {
            Task.EXECUTE_ORDERS: lambda session: execute_orders(
                session, wakeup.ids, now=now, **market
            ),
            Task.SETTLE_EXECUTIONS: lambda session: settle_executions(
                session, wakeup.ids, settings=self.settings, now=now
            ),
            Task.UPDATE_PORTFOLIOS: lambda session: update_portfolios(session, wakeup.ids, now=now),
        }
        report = self.do(stages[wakeup.task])
        return len(report.execution_ids) if isinstance(report, AffectedIds) else report

    def _ask_portone(self, wakeup: TaskRequest) -> object:
        ask = check_payment if wakeup.task is Task.VERIFY_PAYMENT else process_refund
        (one,) = wakeup.ids
        core = self.core
        return ask(core.database, core.portone, one, settings=core.settings, clock=core.clock)

    def run_all(self) -> None:
        """Act on every wake-up, and on those that follow from them, until none is left."""
        while self.sent:
            self.run(self.sent.pop(0))

    def order(self, user_id: UUID, order_id: UUID) -> OrderRecord:
        return self.core.read(get_order, user_id=user_id, order_id=order_id)

    def breaches(self) -> list[Finding]:
        """The audit's findings that are no clean ones."""
        findings = self.core.database.snapshot(lambda session: list(audit(session)))
        return [finding for finding in findings if finding.breaches]


def settings_for(database_uri: str, redis_url: str, **changed: object) -> Settings:
    """Settings on private servers, independent of this process's environment but for what is ``changed``."""
    return Settings.model_validate(
        {
            "database_uri": database_uri,
            "redis_url": redis_url,
            **CHEAP_PASSWORDS,
            **UNLIMITED,
            **changed,
        }
    )


def migrate(database_uri: str) -> None:
    """Bring an empty database to the newest revision, by the migrations themselves."""
    core = trading_core.build(settings_for(database_uri, "redis://127.0.0.1:1/0"))
    try:
        with create_app(core).app_context():
            upgrade()
    finally:
        core.close()


def empty(engine: Engine) -> None:
    """Delete all rows, children first."""
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())


@contextmanager
def opened(settings: Settings, *, clock: TestClock | None = None) -> Iterator[TradingHarness]:
    """Books on an emptied database with the seed's stocks, whose wake-ups are kept for the test to act on."""
    clock = clock or TestClock()
    sent: list[TaskRequest] = []

    def deliver(wakeups: Sequence[TaskRequest]) -> None:
        sent.extend(wakeups)

    core = trading_core.build(settings, deliver=deliver, clock=clock)
    try:
        empty(core.database.engine)
        core.redis.delete(keys.TICK_STREAM)
        core.database.transaction(
            lambda session: import_stocks(session, seed_listing(), now=clock()),
            find_committed=rerun_is_safe,
        )
        yield TradingHarness(core, clock, sent)
    finally:
        core.close()
