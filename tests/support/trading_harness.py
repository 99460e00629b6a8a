"""Trading harness: a core on a real, migrated database, with the steps that most tests start with.

Migrations create the database once per server; each test starts with empty tables. Market data is
in a real Valkey that tests write ticks to.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from flask_migrate import upgrade
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from trading import bootstrap as trading_core
from trading.accounts.accounts import RegisterUser, register
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
from trading.payments.check_payment import check_payment
from trading.payments.refunds import process_refund
from trading.redis import keys
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import seed_listing
from trading.tasks import SINGLE_ID_TASKS, AffectedIds, Task, TaskRequest
from trading.unit_of_work import UnitOfWork
from webapp import create_app

T = TypeVar("T")

SAMSUNG = "A005930"
HYNIX = "A000660"

# The real password hashing algorithm at the lowest cost that the library allows.
CHEAP_PASSWORDS = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "argon2_parallelism": 1}

# No rate limits, since tests send many requests from one address. Tests of limits switch them on;
# the long timeout then keeps a busy machine from being counted as an outage.
UNLIMITED = {"rate_limits": False, "request_count_timeout_ms": 10_000}
# Count all requests with limits that no test reaches.
COUNTED = {
    name: "999999 per second" for name in Settings.model_fields if name.startswith("rate_limit_")
}


class TestClock:
    """Clock that moves only by `advance`."""

    __test__ = False

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Move the clock by the arguments of `timedelta`."""
        self.now += timedelta(**span)


@dataclass
class TradingHarness:
    """A core, its clock, and the tasks that its committed transactions dispatched.

    No task runs by itself: see `run` and `run_all`.
    """

    core: Core
    clock: TestClock
    sent: list[TaskRequest] = field(default_factory=list)
    _ticks: int = 0
    _last_position: Position = field(default_factory=lambda: Position(0, 0))

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
        """Write a trade at `price` won, received `age_ms` ago, to Redis as the relayer does."""
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
        # An aged tick is still appended to the stream, like one that the relayer delayed.
        self._last_position = max(
            tick.position, Position(self._last_position.ms, self._last_position.n + 1)
        )
        tick = msgspec.structs.replace(tick, position=self._last_position)
        self.core.redis.set(keys.last_tick(code), tick.to_json())
        self.core.redis.xadd(
            keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(tick.position)
        )
        return tick

    def user(self) -> UUID:
        """Register a user with the starting cash and return its id."""
        user_id = new_id()
        self.core.run(
            register,
            RegisterUser(
                user_id=user_id, email=f"{user_id.hex}@example.com", password_hash="", name="시험"
            ),
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
        """Place a market order, or with `limit` (won) a limit order. Add its task to `sent`."""
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
        return self.core.run(place_order, command)

    def amend(
        self,
        user_id: UUID,
        order_id: UUID,
        *,
        limit: int | None = None,
        quantity: int | None = None,
    ) -> None:
        """Amend an order. A task is added to `sent`."""
        command = AmendOrder(
            order_id=order_id, user_id=user_id, limit_price=limit, quantity=quantity
        )
        self.core.run(amend_order, command)

    def cancel(self, user_id: UUID, order_id: UUID) -> None:
        self.core.run(cancel_order, user_id=user_id, order_id=order_id)

    def match(self, shard: int = 0) -> MatchReport:
        """Run one matcher pass over the tick stream. Its tasks are added to `sent`."""
        return self.core.run(match_orders, shard=shard, stream=self.core.ticks)

    def expire(self) -> int | None:
        """Expire one batch of orders whose day has ended. Return how many."""
        expired = self.core.run(expire_orders)
        return None if expired is None else len(expired.order_ids)

    def do(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction."""
        return self.core.database.transaction(work, find_committed=rerun_is_safe)

    def run(self, request: TaskRequest) -> object:
        """Run a task as a worker does. Return its report, or the number of fills it changed."""
        if request.task in SINGLE_ID_TASKS:
            return self._call_portone(request)
        stages: dict[Task, Callable[[UnitOfWork, Sequence[UUID]], object]] = {
            Task.EXECUTE_ORDERS: execute_orders,
            Task.SETTLE_EXECUTIONS: settle_executions,
            Task.UPDATE_PORTFOLIOS: update_portfolios,
        }
        report = self.core.run(stages[request.task], request.ids)
        return len(report.execution_ids) if isinstance(report, AffectedIds) else report

    def _call_portone(self, request: TaskRequest) -> object:
        use_case = check_payment if request.task is Task.VERIFY_PAYMENT else process_refund
        (one,) = request.ids
        core = self.core
        return use_case(core, core.portone, one)

    def run_all(self) -> None:
        """Run all dispatched tasks and those that they dispatch."""
        while self.sent:
            self.run(self.sent.pop(0))

    def order(self, user_id: UUID, order_id: UUID) -> OrderRecord:
        hours = self.core.market_hours()
        return self.core.read(get_order, user_id=user_id, order_id=order_id, hours=hours)

    def breaches(self) -> list[Finding]:
        """Return the audit findings that contain breaches."""
        findings = self.core.snapshot(audit)
        return [finding for finding in findings if finding.breaches]


def settings_for(database_uri: str, redis_url: str, **changes: object) -> Settings:
    """Return settings for private servers with `changes`, independent of the environment."""
    return Settings.model_validate(
        {
            "database_uri": database_uri,
            "redis_url": redis_url,
            **CHEAP_PASSWORDS,
            **UNLIMITED,
            **changes,
        }
    )


def migrate(database_uri: str) -> None:
    """Apply all migrations to an empty database."""
    core = trading_core.build(settings_for(database_uri, "redis://127.0.0.1:1/0"))
    try:
        with create_app(core).app_context():
            upgrade()
    finally:
        core.close()


def delete_all_rows(engine: Engine) -> None:
    """Delete all rows, children first."""
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())


@contextmanager
def opened(settings: Settings, *, clock: TestClock | None = None) -> Iterator[TradingHarness]:
    """Open a harness on an emptied database with the seed's stocks."""
    clock = clock or TestClock()
    sent: list[TaskRequest] = []

    def deliver(requests: Sequence[TaskRequest]) -> None:
        sent.extend(requests)

    core = trading_core.build(settings, deliver=deliver, clock=clock)
    try:
        delete_all_rows(core.database.engine)
        core.redis.delete(keys.TICK_STREAM)
        core.run(import_stocks, seed_listing())
        yield TradingHarness(core, clock, sent)
    finally:
        core.close()
