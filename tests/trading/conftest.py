"""Trading harnesses with other settings."""

from collections.abc import Iterator

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for


@pytest.fixture
def volume_harness(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Orders fill only by traded volume, and market orders one tick size worse."""
    with opened(settings_for(database_uri, valkey_url, fill_profile="volume")) as harness:
        yield harness


@pytest.fixture
def krx_harness(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """The exchange's trading hours apply; the clock is at 10:00 on a Friday with trading."""
    with opened(settings_for(database_uri, valkey_url, market_hours="krx")) as harness:
        yield harness
