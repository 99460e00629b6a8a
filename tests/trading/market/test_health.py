"""What the relayer's record means at a moment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trading.market.health import FeedStatus, RelayerHealth, status_of

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


def record(**changed: Any) -> RelayerHealth:
    facts: dict[str, Any] = {
        "pid": 7,
        "started_at": NOW - timedelta(hours=1),
        "updated_at": NOW,
        "connected": True,
        "subscriptions": 40,
        "last_tick_at": NOW,
        "reconnects": 0,
        "ticks_total": 1_000,
        "malformed_total": 0,
        "lag_ms": 3,
    }
    return RelayerHealth(**{**facts, **changed})


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, FeedStatus.HEALTHY),
        ({"last_tick_at": NOW - timedelta(seconds=30)}, FeedStatus.HEALTHY),
        ({"last_tick_at": NOW - timedelta(seconds=30, microseconds=1)}, FeedStatus.STALE),
        ({"last_tick_at": None}, FeedStatus.STALE),
        ({"connected": False}, FeedStatus.DISCONNECTED),
        ({"connected": False, "last_tick_at": None}, FeedStatus.DISCONNECTED),
        ({"updated_at": NOW - timedelta(seconds=60)}, FeedStatus.HEALTHY),
        ({"updated_at": NOW - timedelta(seconds=60, microseconds=1)}, FeedStatus.DEAD),
        ({"updated_at": NOW - timedelta(hours=1), "connected": False}, FeedStatus.DEAD),
    ],
)
def test_the_status_at_its_borders(changed: dict[str, Any], status: FeedStatus) -> None:
    """Dead outranks disconnected, which outranks stale; each limit itself still belongs to the better side."""
    assert status_of(record(**changed), NOW) is status


def test_no_record_is_offline() -> None:
    """Without a record nothing is known of a relayer."""
    assert status_of(None, NOW) is FeedStatus.OFFLINE


@pytest.mark.parametrize("changed", [{}, {"last_tick_at": None, "lag_ms": None}])
def test_a_record_comes_back_as_it_went(changed: dict[str, Any]) -> None:
    """Writing and reading loses nothing, absent values included."""
    assert RelayerHealth.from_json(record(**changed).to_json()) == record(**changed)
