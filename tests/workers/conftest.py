"""Fixtures of the workers' tests."""

from collections.abc import Iterator

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for
from tests.webapp.client import Api, api_on
from trading import bootstrap as trading_core
from trading.config.settings import Settings
from trading.db.clock import utc_now
from webapp.background_sender import background_dispatcher, background_publisher


@pytest.fixture
def live_settings(server_uri: str, valkey_url: str) -> Settings:
    """Settings for real processes: prices stay fresh, batches are small, sweeps are frequent."""
    return settings_for(
        server_uri,
        valkey_url,
        tick_freshness_ms=600_000,
        sweep_period_s=1,
        wake_grace_ms=500,
        stage_batch_size=20,
    )


@pytest.fixture
def live_api(live_settings: Settings) -> Iterator[Api]:
    """The API on an empty database with the production clock and dispatch."""
    with opened(live_settings) as emptied:
        core = trading_core.build(
            live_settings,
            deliver=background_dispatcher(live_settings),
            publishing=background_publisher,
        )
        try:
            yield api_on(TradingHarness(core, utc_now, emptied.sent))
        finally:
            core.close()
