"""Any history of orders keeps every invariant and comes to rest, in both fill profiles, in a market with hours and in one without."""

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
    """A machine that begins under these settings, which an operator may change on the way."""

    class UnderThese(OrderHistory):
        pass

    UnderThese.under, UnderThese.other_settings = under, changes
    return UnderThese


@pytest.fixture
def usual(server_uri: str, valkey_server: Valkey) -> dict[str, Any]:
    """Settings on MariaDB under which batches are full soon and users seldom poor."""
    return {
        "database_uri": server_uri,
        "redis_url": valkey_server.url,
        "stage_batch_size": SMALL_BATCH,
        "starting_cash": 60_000_000,
    }


@pytest.mark.parametrize("hours", ["always", "krx"])
@pytest.mark.parametrize("profile", ["simple", "volume"])
def test_any_history_of_orders(usual: dict[str, Any], profile: str, hours: str) -> None:
    """Users, markets, matchers, workers and operators in any order: the audit is clean after each step, and in the end all is done."""
    check(
        history(settings_for(**usual, fill_profile=profile, market_hours=hours)),
        histories=8,
        steps=50,
    )


def test_any_history_under_settings_that_change(usual: dict[str, Any]) -> None:
    """Another fill profile and another commission while orders wait: the won are right all the same."""
    check(history(settings_for(**usual), *CHANGES), histories=8, steps=50)
