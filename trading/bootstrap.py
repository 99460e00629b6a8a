"""Build the `Core` of a process: settings, database, Redis clients and external clients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import limits
import structlog
from redis import Redis

from trading.account_events.publish import AccountEventPublisher
from trading.account_events.stream import AccountEvent, AccountStreams
from trading.accounts.accounts import Passwords
from trading.accounts.login_guard import LoginGuard, LoginLimits
from trading.config.settings import Settings
from trading.db.transactions import Database
from trading.exchange.market_hours_provider import MarketHoursProvider
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.stream import TickStream
from trading.observability.metrics import instruments
from trading.payments.portone.client import PortoneClient
from trading.payments.portone.transport import PortoneTimeouts
from trading.redis.client import connect
from trading.redis.guarded_client import GuardedRedis
from trading.stocks.queries import StockSearch
from trading.stocks.toss.market_data import MarketData
from trading.stocks.toss.response_cache import ResponseCache
from trading.tasks import TaskRequest
from trading.unit_of_work import UseCaseRunner

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
Deliver = Callable[[Sequence[TaskRequest]], None]
Publish = Callable[[Sequence[AccountEvent]], None]

# For processes that answer users: preparing a payment must not take a minute.
PORTONE_API_TIMEOUTS = PortoneTimeouts(connect_s=3.0, read_s=8.0, total_s=12.0)


def dispatch_nothing(_requests: Sequence[TaskRequest]) -> None:
    """Dispatch nothing, for commands: the recovery sweep finds the rows."""


def publish_directly(publish: Publish) -> Publish:
    """Publish account events in the calling thread, for processes without waiting clients."""
    return publish


@dataclass(frozen=True, slots=True, kw_only=True)
class Core(UseCaseRunner):
    """The use case runner of one process with its clients. Safe to share between threads."""

    redis: Redis
    ticks: TickStream
    passwords: Passwords
    stock_search: StockSearch
    market_data: MarketData
    account_events: AccountEventPublisher
    portone: PortoneClient
    request_counts: GuardedRedis
    sign_in_guard: LoginGuard
    deliver: Deliver

    def close(self) -> None:
        self.market_data.close()
        self.portone.close()
        self.request_counts.close()
        self.redis.close()
        self.database.close()


def build(
    settings: Settings,
    *,
    deliver: Deliver = dispatch_nothing,
    publishing: Callable[[Publish], Publish] = publish_directly,
    portone_timeouts: PortoneTimeouts | None = None,
    database_timeout_s: int | None = None,
    clock: Clock | None = None,
) -> Core:
    """Build a core on the database and Redis of the settings.

    `deliver` dispatches the tasks of committed transactions and must not raise. `publishing` wraps
    the function that publishes their account events, to run it at once or in the background.
    `portone_timeouts` default to those of background processes, `database_timeout_s` to the
    setting, `clock` to the database's.
    """

    def hand_out(messages: Sequence[Any]) -> None:
        events = [message for message in messages if isinstance(message, AccountEvent)]
        requests = [message for message in messages if not isinstance(message, AccountEvent)]
        # Events first: the tasks may add events that must follow them.
        if events:
            publish(events)
        if requests:
            deliver(requests)

    if settings.portone_v1_api_key or settings.portone_v1_api_secret:
        log.info("portone_v1_settings_ignored")
    redis = connect(settings.redis_url.get_secret_value())
    database = Database(
        settings.database_uri.get_secret_value(),
        pool_size=settings.database_pool_size,
        timeout_s=database_timeout_s or settings.database_timeout_s,
        deliver=hand_out,
        retried=partial(instruments.record, instruments.TRANSACTIONS_RETRIED),
    )
    clock = clock or database.clock
    account_events = AccountEventPublisher(database, AccountStreams(redis))
    publish = publishing(account_events.publish)
    request_counts = GuardedRedis(
        settings.redis_url.get_secret_value(), timeout_s=settings.request_count_timeout_ms / 1_000
    )
    return Core(
        settings=settings,
        database=database,
        redis=redis,
        quotes=QuoteStore(redis),
        ticks=TickStream(redis),
        passwords=Passwords(settings),
        exchange_hours=MarketHoursProvider(database, clock),
        stock_search=StockSearch(database, clock),
        market_data=MarketData(
            info_url=settings.info_url,
            cert_url=settings.cert_url,
            cache=ResponseCache(redis),
            clock=clock,
            requests_per_s=settings.toss_requests_per_s,
        ),
        account_events=account_events,
        portone=PortoneClient(
            api_url=settings.portone_api_base_url,
            api_secret=settings.portone_secret,
            store_id=settings.portone_store_id,
            timeouts=portone_timeouts,
        ),
        request_counts=request_counts,
        sign_in_guard=LoginGuard(
            request_counts, _sign_in_limits(settings), secret=lambda: settings.jwt_secret
        ),
        clock=clock,
        deliver=deliver,
    )


def _sign_in_limits(settings: Settings) -> LoginLimits:
    attempts = limits.parse(settings.rate_limit_sign_in_account)
    return LoginLimits(
        attempts=attempts.amount,
        window_s=attempts.get_expiry(),
        failures_max=settings.sign_in_failures_max,
        lock_s=settings.sign_in_lock_s,
        lock_max_s=settings.sign_in_lock_max_s,
    )
