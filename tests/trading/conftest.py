"""Books under other settings than the usual ones."""

from collections.abc import Iterator

import pytest

from tests.support.trading_harness import TradingHarness, opened, settings_for


@pytest.fixture
def volume_books(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Books in which an order fills by what is traded alone, market orders a step of the grid worse."""
    with opened(settings_for(database_uri, valkey_url, fill_profile="volume")) as books:
        yield books


@pytest.fixture
def krx_books(database_uri: str, valkey_url: str) -> Iterator[TradingHarness]:
    """Books that keep the exchange's hours; the clock stands at 10:00 of a Friday with trading."""
    with opened(settings_for(database_uri, valkey_url, market_hours="krx")) as books:
        yield books
