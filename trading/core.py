"""The trading core put together: what every edge (API, worker, command line) needs to make its one call. Made once per process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis

from trading.database.transactions import Database
from trading.market.connection import connect
from trading.market.quote_book import QuoteBook
from trading.market.tick_stream import TickStream
from trading.queries.exchange_days import CorrectedHours
from trading.queue import Wakeup
from trading.rules.market_hours import AlwaysOpen, MarketHours
from trading.services.accounts import Passwords
from trading.settings import Settings

Clock = Callable[[], datetime]
Deliver = Callable[[Sequence[Wakeup]], None]

_ALWAYS_OPEN = AlwaysOpen()


def utc_now() -> datetime:
    return datetime.now(UTC)


def deliver_nothing(_wakeups: Sequence[Wakeup]) -> None:
    """For commands that wake nobody: what they leave due is found by the recovery sweep."""


@dataclass(frozen=True, slots=True)
class Core:
    """Everything a use case is given besides its session. Safe to share between threads."""

    settings: Settings
    database: Database
    redis: Redis
    quotes: QuoteBook
    ticks: TickStream
    passwords: Passwords
    exchange_hours: CorrectedHours
    clock: Clock
    deliver: Deliver

    def market_hours(self) -> MarketHours:
        """The hours that the market keeps now, by the settings and the operators' corrections. Ask before a transaction, not inside one."""
        return _ALWAYS_OPEN if self.settings.hours_rule == "always" else self.exchange_hours.now()

    def close(self) -> None:
        self.redis.close()
        self.database.close()


def build(settings: Settings, *, deliver: Deliver = deliver_nothing, clock: Clock = utc_now) -> Core:
    """A core on the settings' database and Redis; ``deliver`` sends the wake-ups of committed transactions and must not raise."""
    redis = connect(settings.redis_url.get_secret_value())
    database = Database(
        settings.database_uri.get_secret_value(),
        pool_size=settings.database_pool_size,
        timeout_s=settings.database_timeout_s,
        deliver=deliver,
    )
    return Core(
        settings=settings,
        database=database,
        redis=redis,
        quotes=QuoteBook(redis),
        ticks=TickStream(redis),
        passwords=Passwords(settings),
        exchange_hours=CorrectedHours(database, clock),
        clock=clock,
        deliver=deliver,
    )
