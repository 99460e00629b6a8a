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
    """The API on empty books, on each kind of database."""
    return api_on(harness)


@pytest.fixture
def server_api(server_harness: TradingHarness) -> Api:
    """The same on servers alone, for what only concurrent writers can show."""
    return api_on(server_harness)


@pytest.fixture
def sqlite_harness(migrated_sqlite: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Books on SQLite alone, for what does not depend on the kind of database."""
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        yield harness


@pytest.fixture
def sqlite_api(sqlite_harness: TradingHarness) -> Api:
    """The API on SQLite alone."""
    return api_on(sqlite_harness)


@pytest.fixture
def volume_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market in which a trade fills no more shares than it was for."""
    with opened(settings_for(migrated_sqlite, valkey_url, fill_profile="volume")) as harness:
        yield api_on(harness)


@pytest.fixture
def krx_api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    """The API of a market that keeps the exchange's hours."""
    with opened(settings_for(migrated_sqlite, valkey_url, market_hours="krx")) as harness:
        yield api_on(harness)


@pytest.fixture
def cut_api(server_api: Api, database_server: DatabaseServer) -> Callable[..., Any]:
    """The same books as ``server_api``'s, through connections whose COMMITs are cut."""

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
    """Takes Redis away in one of two ways: nobody listens, or nobody answers. Back after the test."""
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
    """The API as it is set up by default: requests are counted, and too many refused."""
    with opened(
        settings_for(migrated_sqlite, valkey_url, rate_limits=True, request_count_timeout_ms=2_000)
    ) as harness:
        yield api_on(harness)
