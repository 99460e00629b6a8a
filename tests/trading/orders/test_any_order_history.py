"""Random order histories keep every invariant, in both fill profiles, with and without market
hours.
"""

from typing import Any

import pytest

from tests.support.servers import Valkey
from tests.support.trading_harness import settings_for
from tests.trading.histories import SMALL_BATCH, check
from tests.trading.orders.order_history import OrderHistory
from trading.config.settings import Settings

CHANGES: tuple[dict[str, Any], ...] = (
    {"fill_profile": "simple"},
    {"fill_profile": "volume"},
    {"commission_ppm": 0},
    {"commission_ppm": 3_000},
)


def history(under: Settings, *changes: dict[str, Any]) -> type[OrderHistory]:
    """Return a machine with these initial settings and changes that an operator may make."""

    class UnderThese(OrderHistory):
        pass

    UnderThese.under, UnderThese.other_settings = under, changes
    return UnderThese


@pytest.fixture
def usual(server_uri: str, valkey_server: Valkey) -> dict[str, Any]:
    """Return settings on MariaDB with small batches and rich users."""
    return {
        "database_uri": server_uri,
        "redis_url": valkey_server.url,
        "stage_batch_size": SMALL_BATCH,
        "starting_cash": 60_000_000,
    }


@pytest.mark.parametrize("hours", ["always", "krx"])
@pytest.mark.parametrize("profile", ["simple", "volume"])
def test_random_order_history_keeps_every_invariant(
    usual: dict[str, Any], profile: str, hours: str
) -> None:
    check(
        history(settings_for(**usual, fill_profile=profile, market_hours=hours)),
        histories=8,
        steps=50,
    )


def test_random_order_history_with_changing_settings(usual: dict[str, Any]) -> None:
    """The fill profile and the commission change while orders wait."""
    check(history(settings_for(**usual), *CHANGES), histories=8, steps=50)
