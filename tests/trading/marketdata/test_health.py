"""Evaluation and parsing of the relayer's health record."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.hours import AlwaysOpen, KrxHours
from trading.marketdata.health import (
    FeedStatus,
    HealthReason,
    RefusedTopic,
    RelayerHealth,
    diagnose,
    trading_since,
)

NOW = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
HEALTHY = RelayerHealth(
    pid=7,
    started_at=NOW - HOUR,
    updated_at=NOW,
    connected=True,
    subscriptions=40,
    last_tick_at=NOW,
    reconnects=1,
    ticks_total=1_000,
    malformed_total=2,
    lag_ms=3,
    lease_number=4,
    why_disconnected=None,
    wanted=40,
    left_out=("/topic/v1/kr/stock/trade/A005930",),
    left_out_total=0,
    refused=(RefusedTopic("/topic/v1/kr/stock/trade/A000660", "거절"),),
    refused_total=0,
    repeated_total=5,
    conflated_total=6,
    waiting_ticks=7,
)


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({}, FeedStatus.HEALTHY, None),
        ({"last_tick_at": NOW - timedelta(seconds=30)}, FeedStatus.HEALTHY, None),
        (
            {"last_tick_at": NOW - timedelta(seconds=30) - MICROSECOND},
            FeedStatus.STALE,
            HealthReason.NO_TICKS,
        ),
        ({"last_tick_at": None}, FeedStatus.STALE, HealthReason.NO_TICKS),
        ({"last_tick_at": None, "wanted": 0}, FeedStatus.STALE, HealthReason.NO_SUBSCRIPTIONS),
        ({"connected": False}, FeedStatus.DISCONNECTED, HealthReason.NOT_CONNECTED),
        (
            {"connected": False, "last_tick_at": None},
            FeedStatus.DISCONNECTED,
            HealthReason.NOT_CONNECTED,
        ),
        ({"updated_at": NOW - timedelta(seconds=60)}, FeedStatus.HEALTHY, None),
        (
            {"updated_at": NOW - timedelta(seconds=60) - MICROSECOND},
            FeedStatus.DEAD,
            HealthReason.NO_HEARTBEAT,
        ),
        (
            {"updated_at": NOW - HOUR, "connected": False},
            FeedStatus.DEAD,
            HealthReason.NO_HEARTBEAT,
        ),
        ({"subscriptions": 39}, FeedStatus.HEALTHY, HealthReason.UNCONFIRMED),
        ({"subscriptions": 39, "refused_total": 1}, FeedStatus.HEALTHY, HealthReason.REFUSED),
        ({"left_out_total": 1}, FeedStatus.HEALTHY, HealthReason.LEFT_OUT),
    ],
)
def test_status_and_reason_at_their_limits(
    changed: dict[str, Any], status: FeedStatus, reason: HealthReason | None
) -> None:
    """DEAD outranks DISCONNECTED, which outranks STALE. The limit itself counts as healthy."""
    found = diagnose(replace(HEALTHY, **changed), NOW, trading_since=NOW - HOUR)

    assert (found.status, found.reasons[0] if found.reasons else None) == (status, reason)


def test_missing_record_is_offline() -> None:
    assert diagnose(None, NOW, trading_since=NOW).status is FeedStatus.OFFLINE


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"last_tick_at": None}, FeedStatus.HEALTHY),
        ({"last_tick_at": NOW - 15 * HOUR}, FeedStatus.HEALTHY),
        ({"connected": False}, FeedStatus.DISCONNECTED),
        ({"updated_at": NOW - HOUR}, FeedStatus.DEAD),
    ],
)
def test_missing_ticks_are_ignored_outside_trading(
    changed: dict[str, Any], status: FeedStatus
) -> None:
    """A lost connection or heartbeat is still reported."""
    assert diagnose(replace(HEALTHY, **changed), NOW, trading_since=None).status is status


def test_new_session_has_30_seconds_for_its_first_tick() -> None:
    """The last tick may be from the previous day."""
    yesterday = replace(HEALTHY, last_tick_at=NOW - 15 * HOUR)
    in_time, late = NOW - timedelta(seconds=30), NOW - timedelta(seconds=30) - MICROSECOND

    assert diagnose(yesterday, NOW, trading_since=in_time).status is FeedStatus.HEALTHY
    assert diagnose(yesterday, NOW, trading_since=late).status is FeedStatus.STALE


@pytest.mark.parametrize(
    ("moment", "since"),
    [
        ("2026-11-20T07:59", None),
        ("2026-11-20T08:10", "2026-11-20T08:00"),
        ("2026-11-20T08:55", None),
        ("2026-11-20T09:00", "2026-11-20T09:00"),
        ("2026-11-20T15:20", None),
        ("2026-11-20T15:45", None),
        ("2026-11-20T19:59", "2026-11-20T16:00"),
        ("2026-11-21T10:00", None),
    ],
)
def test_trading_since_excludes_auctions_and_closed_hours(moment: str, since: str | None) -> None:
    """In KST, on a Friday and the Saturday after it."""
    at, expected = (text and datetime.fromisoformat(f"{text}+09:00") for text in (moment, since))
    assert at is not None

    assert trading_since(KrxHours({}), at) == expected


def test_always_open_market_is_always_trading() -> None:
    assert trading_since(AlwaysOpen(), NOW) == datetime(2026, 11, 19, 15, tzinfo=UTC)


def test_record_survives_json_round_trip() -> None:
    for record in (HEALTHY, replace(HEALTHY, last_tick_at=None, lag_ms=None, lease_number=None)):
        assert RelayerHealth.from_json(record.to_json()) == record


def test_records_of_other_versions_are_parsed() -> None:
    """Unknown members are ignored and missing ones have defaults."""
    newer = json.dumps({**json.loads(HEALTHY.to_json()), "a_member_of_tomorrow": {"x": [1]}})
    oldest = {
        "pid": 7,
        "started_at": "2026-11-20T00:00:00.000+00:00",
        "updated_at": "2026-11-20T10:00+09:00",
    }

    assert RelayerHealth.from_json(newer) == HEALTHY
    assert RelayerHealth.from_json(json.dumps({**oldest, "connected": True})) == RelayerHealth(
        pid=7, started_at=NOW - HOUR, updated_at=NOW, connected=True
    )


@given(
    member=st.sampled_from([field.name for field in fields(RelayerHealth)]),
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), min_size=1, max_size=2)
    | st.sampled_from(
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-20T10:00:00"]
    ),
)
def test_record_is_parsed_completely_or_rejected(member: str, value: object) -> None:
    """Only ValueError is raised, and a parsed record can be evaluated and written again."""
    text = json.dumps({**json.loads(HEALTHY.to_json()), member: value})
    try:
        record = RelayerHealth.from_json(text)
    except ValueError:
        return
    diagnose(record, NOW, trading_since=NOW)
    assert RelayerHealth.from_json(record.to_json()) == record
