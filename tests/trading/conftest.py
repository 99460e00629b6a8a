"""Books under other settings than the usual ones."""

from collections.abc import Iterator

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for


@pytest.fixture
def volume_harness(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Books in which an order fills by what is traded alone, market orders a step of the grid worse."""
    with opened(settings_for(database_uri, valkey_url, fill_profile="volume")) as harness:
        yield harness


@pytest.fixture
def krx_harness(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Books that keep the exchange's hours; the clock stands at 10:00 of a Friday with trading."""
    with opened(settings_for(database_uri, valkey_url, market_hours="krx")) as harness:
        yield harness
