"""Books for tests: a trading core on a real, migrated database, with the few steps that most tests begin with.

The database is built by the migrations once per server and emptied before each test; the market is a real Valkey that a test writes ticks to.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from flask_migrate import upgrade
from sqlalchemy import Engine

from trading import core as trading_core
from trading.core import Core
from trading.database.ids import new_id
from trading.database.tables import Base
from trading.database.transactions import nothing_to_find
from trading.market import keys
from trading.market.listing import seed_listing
from trading.market.tick import Position, Tick
from trading.queries.audit import Finding, audit
from trading.queries.orders import order_of
from trading.queue import Task, Wakeup
from trading.rules.orders import OrderType, Side, TimeInForce
from trading.rules.records import OrderRecord
from trading.services.accounts import register
from trading.services.execute_orders import execute_orders
from trading.services.place_order import PlaceOrder, place_order
from trading.services.settle_executions import settle_executions
from trading.services.stock_list import import_stocks
from trading.services.update_portfolios import update_portfolios
from trading.settings import Settings
from webapp import create_app

SAMSUNG = "A005930"
HYNIX = "A000660"

# Hashing for tests: the algorithm is the real one, its cost the least that the library allows.
CHEAP_PASSWORDS = {"argon2_time_cost": 1, "argon2_memory_kib": 8, "argon2_parallelism": 1}


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
class Books:
    """A core, its clock, and the wake-ups that its committed transactions sent (none of which anybody acts on by itself)."""

    core: Core
    clock: TestClock
    sent: list[Wakeup] = field(default_factory=list)
    _ticks: int = 0

    @property
    def settings(self) -> Settings:
        return self.core.settings

    def tick(self, price: int, code: str = SAMSUNG, *, base: int | None = None, age_ms: int = 0) -> Tick:
        """Print a trade at ``price`` won, received ``age_ms`` ago, as the relayer would leave it in Redis."""
        self._ticks += 1
        received = self.clock() - timedelta(milliseconds=age_ms)
        tick = Tick(
            code=code,
            price=price,
            base=base,
            volume=1,
            cumulative_volume=self._ticks,
            traded_at=received,
            received_at=received,
            position=Position(int(received.timestamp() * 1_000), self._ticks),
        )
        self.core.redis.set(keys.last_tick(code), tick.to_json())
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
            landed=nothing_to_find,
        )
        return user_id

    def place(self, user_id: UUID, side: Side, quantity: int, code: str = SAMSUNG, **more: str) -> OrderRecord:
        """Place a market order; its wake-up is kept in ``sent``."""
        command = PlaceOrder(
            order_id=new_id(),
            user_id=user_id,
            stock_code=code,
            side=side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            quantity=quantity,
            **more,
        )
        return self.core.database.transaction(
            lambda session: place_order(
                session, command, quotes=self.core.quotes, settings=self.settings, now=self.clock()
            ),
            landed=nothing_to_find,
        )

    def run(self, wakeup: Wakeup) -> object:
        """Do what a worker does on this wake-up."""
        now = self.clock()
        stages = {
            Task.EXECUTE_ORDERS: lambda session: execute_orders(
                session, wakeup.ids, quotes=self.core.quotes, settings=self.settings, now=now
            ),
            Task.SETTLE_EXECUTIONS: lambda session: settle_executions(
                session, wakeup.ids, settings=self.settings, now=now
            ),
            Task.UPDATE_PORTFOLIOS: lambda session: update_portfolios(session, wakeup.ids, now=now),
        }
        return self.core.database.transaction(stages[wakeup.task], landed=nothing_to_find)

    def run_all(self) -> None:
        """Act on every wake-up, and on those that follow from them, until none is left."""
        while self.sent:
            self.run(self.sent.pop(0))

    def order(self, user_id: UUID, order_id: UUID) -> OrderRecord:
        return self.core.database.read(lambda session: order_of(session, user_id=user_id, order_id=order_id))

    def breaches(self) -> list[Finding]:
        """The audit's findings that are no clean ones."""
        findings = self.core.database.snapshot(lambda session: list(audit(session)))
        return [finding for finding in findings if finding.breaches]


def settings_for(database_uri: str, redis_url: str, **changed: object) -> Settings:
    """Settings on private servers, independent of this process's environment but for what is ``changed``."""
    return Settings.model_validate({"database_uri": database_uri, "redis_url": redis_url, **CHEAP_PASSWORDS, **changed})


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
def opened(settings: Settings) -> Iterator[Books]:
    """Books on an emptied database with the seed's stocks, whose wake-ups are kept for the test to act on."""
    clock = TestClock()
    sent: list[Wakeup] = []

    def deliver(wakeups: Sequence[Wakeup]) -> None:
        sent.extend(wakeups)

    core = trading_core.build(settings, deliver=deliver, clock=clock)
    try:
        empty(core.database.engine)
        core.database.transaction(
            lambda session: import_stocks(session, seed_listing(), now=clock()), landed=nothing_to_find
        )
        yield Books(core, clock, sent)
    finally:
        core.close()
