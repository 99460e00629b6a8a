"""Fixtures of the API's tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.support.servers import DatabaseServer, Valkey
from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.trading.db.cutting_proxy import Cut, CuttingProxy
from tests.webapp.client import Api, api_on
from trading import bootstrap as trading_core


@pytest.fixture
def api(harness: TradingHarness) -> Api:
    """The API on an empty database of each kind."""
    return api_on(harness)


@pytest.fixture
def server_api(server_harness: TradingHarness) -> Api:
    """The API on database servers only, for tests of concurrent writers."""
    return api_on(server_harness)


@pytest.fixture
def sqlite_harness(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    """A harness on SQLite only, for tests that do not depend on the database."""
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        yield harness


@pytest.fixture
def sqlite_api(sqlite_harness: TradingHarness) -> Api:
    """The API on SQLite only."""
    return api_on(sqlite_harness)


@pytest.fixture
def volume_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market in which a trade fills at most its own volume."""
    with opened(settings_for(migrated_sqlite, valkey_url, fill_profile="volume")) as harness:
        yield api_on(harness)


@pytest.fixture
def krx_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market with the exchange's hours."""
    with opened(settings_for(migrated_sqlite, valkey_url, market_hours="krx")) as harness:
        yield api_on(harness)


@pytest.fixture
def cut_api(server_api: Api, database_server: DatabaseServer) -> Callable[..., Any]:
    """The API on the same database as `server_api`, over connections whose COMMITs are cut."""

    @contextmanager
    def through(*cuts: Cut) -> Iterator[Api]:
        harness = server_api.harness
        with CuttingProxy(database_server.port, *cuts) as proxy:
            address = make_url(harness.settings.database_uri.get_secret_value()).set(
                port=proxy.port
            )
            settings = harness.settings.model_copy(
                update={
                    "database_uri": type(harness.settings.database_uri)(
                        address.render_as_string(hide_password=False)
                    )
                }
            )
            core = trading_core.build(settings, deliver=harness.core.deliver, clock=harness.clock)
            try:
                yield api_on(TradingHarness(core, harness.clock, harness.sent))
            finally:
                core.close()

    return through


@pytest.fixture(params=["stopped", "paused"])
def redis_away(
    request: pytest.FixtureRequest, valkey_server: Valkey
) -> Iterator[Callable[[], None]]:
    """Stop or pause Redis when called; it returns after the test."""
    leave, come_back = {
        "stopped": (valkey_server.stop, valkey_server.start),
        "paused": (valkey_server.pause, valkey_server.resume),
    }[request.param]
    left = False

    def away() -> None:
        nonlocal left
        leave()
        left = True

    yield away
    if left:
        come_back()


@pytest.fixture
def counting_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API with rate limits, as configured by default."""
    with opened(
        settings_for(migrated_sqlite, valkey_url, rate_limits=True, request_count_timeout_ms=2_000)
    ) as harness:
        yield api_on(harness)
