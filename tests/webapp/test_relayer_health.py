"""The relayer's health endpoint."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.webapp.client import HANGUL, Api, data_of, problem_of
from trading.marketdata.health import HealthReason, RefusedTopic, RelayerHealth
from trading.marketdata.topics import trade_topic
from trading.redis.keys import RELAYER_HEALTH
from webapp.api.realtime import _REASONS

HEALTH = "/trading/realtime/daemon/health"


def leave_record(api: Api, **changed: Any) -> None:
    """Write the record of a healthy relayer with these changes; durations are ages."""
    now = api.harness.clock()
    ages = {name: now - age for name, age in changed.items() if isinstance(age, timedelta)}
    record = RelayerHealth(
        **{
            "pid": 7,
            "started_at": now,
            "updated_at": now,
            "connected": True,
            "subscriptions": 2,
            "wanted": 2,
            "last_tick_at": now,
            "ticks_total": 5,
            **changed,
            **ages,
        }
    )
    api.harness.core.redis.set(RELAYER_HEALTH, record.to_json())


def reasons(health: dict[str, Any]) -> list[str]:
    """Return the codes of the reasons; each needs a message."""
    assert all(HANGUL.search(reason["message"]) for reason in health["reasons"])
    return [reason["code"] for reason in health["reasons"]]


def test_healthy_relayer_is_200_with_its_record(sqlite_api: Api) -> None:
    """Left-out and refused destinations are listed."""
    leave_record(
        sqlite_api,
        wanted=3,
        left_out=(trade_topic("A035720"),),
        left_out_total=1,
        refused=(RefusedTopic(trade_topic("A000660"), "no such destination"),),
        refused_total=1,
        lease_number=12,
    )

    health = data_of(sqlite_api.get(HEALTH))

    assert (
        health["status"],
        health["subscriptions"],
        health["wanted"],
        health["lease_number"],
    ) == (
        "HEALTHY",
        2,
        3,
        12,
    )
    assert health["refused"] == [{"topic": trade_topic("A000660"), "reason": "no such destination"}]
    assert health["left_out"] == [trade_topic("A035720")]
    assert reasons(health) == ["subscriptions-refused", "subscriptions-left-out"]


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"last_tick_at": timedelta(seconds=31)}, "STALE", "no-ticks"),
        ({"connected": False, "why_disconnected": "code 1006"}, "DISCONNECTED", "not-connected"),
        ({"updated_at": timedelta(seconds=61)}, "DEAD", "no-heartbeat"),
    ],
)
def test_unhealthy_relayer_is_503_with_the_reason(
    sqlite_api: Api, changed: dict[str, Any], status: str, reason: str
) -> None:
    """With the record, if there is one."""
    leave_record(sqlite_api, **changed)

    refused = problem_of(sqlite_api.get(HEALTH), "relayer-unavailable")

    assert refused["feed_status"] == refused["health"]["status"] == status
    assert reasons(refused["health"])[0] == reason
    assert (refused["health"]["pid"], refused["health"]["why_disconnected"]) == (
        7,
        changed.get("why_disconnected"),
    )


@pytest.mark.parametrize("record", [None, "", "[]", "{}", "not json", '{"pid": 1}', "7", "null"])
def test_malformed_record_is_reported_as_offline(sqlite_api: Api, record: str | None) -> None:
    if record is not None:
        sqlite_api.harness.core.redis.set(RELAYER_HEALTH, record)

    refused = problem_of(sqlite_api.get(HEALTH), "relayer-unavailable")

    assert (refused["feed_status"], reasons(refused["health"])) == ("OFFLINE", ["no-record"])
    assert "pid" not in refused["health"]


@pytest.mark.parametrize(
    ("moment", "quiet_s", "status"),
    [
        pytest.param("2026-11-20T10:00:00", 31, 503, id="in the regular session"),
        pytest.param("2026-11-20T15:25:00", 300, 200, id="in the closing auction"),
        pytest.param("2026-11-20T21:00:00", 3_600, 200, id="in the evening"),
        pytest.param("2026-11-22T10:00:00", 86_400, 200, id="on a Sunday"),
        pytest.param("2026-11-20T09:00:30", 86_400, 200, id="half a minute into the session"),
        pytest.param("2026-11-20T09:00:31", 86_400, 503, id="a second later"),
    ],
)
def test_quiet_feed_is_healthy_outside_sessions(
    krx_api: Api, moment: str, quiet_s: int, status: int
) -> None:
    krx_api.harness.clock.now = datetime.fromisoformat(f"{moment}+09:00").astimezone(UTC)
    leave_record(krx_api, last_tick_at=timedelta(seconds=quiet_s))

    assert krx_api.get(HEALTH).status_code == status


def test_every_reason_has_a_message() -> None:
    assert set(_REASONS) == set(HealthReason)


def test_dead_relayer_does_not_affect_liveness(sqlite_api: Api) -> None:
    """The API can accept orders without prices."""
    problem_of(sqlite_api.get(HEALTH), "relayer-unavailable")

    assert sqlite_api.client.get("/healthz").get_json() == {"status": "ok"}
    assert sqlite_api.client.get("/readyz").status_code == 200
