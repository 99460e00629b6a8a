"""Negotiation of heart-beats and the resulting deadlines."""

import pytest

from relayer.stomp.errors import MalformedFrame
from relayer.stomp.heart_beats import HeartBeat, HeartBeatMonitor
from relayer.stomp.limits import HEART_BEAT_MS_MAX, SEND_FRACTION, SILENCE_INTERVALS


@pytest.mark.parametrize(
    ("local", "remote", "send_s", "expect_s"),
    [
        pytest.param("5000,5000", "5000,5000", 5.0, 5.0, id="alike"),
        pytest.param("4000,6000", "7000,5000", 5.0, 7.0, id="the slower counts"),
        pytest.param("0,5000", "5000,5000", None, 5.0, id="we cannot send"),
        pytest.param("5000,0", "5000,5000", 5.0, None, id="we want none"),
        pytest.param("5000,5000", "0,0", None, None, id="they do not beat"),
    ],
)
def test_each_direction_is_agreed_separately(
    local: str, remote: str, send_s: float | None, expect_s: float | None
) -> None:
    pulse = HeartBeatMonitor(
        local=HeartBeat.parse(local), remote=HeartBeat.parse(remote), now=100.0
    )

    assert (pulse.send_interval_s, pulse.expect_interval_s) == (send_s, expect_s)
    assert pulse.beat_due_at == (None if send_s is None else 100 + SEND_FRACTION * send_s)
    assert pulse.dead_at == (None if expect_s is None else 100 + SILENCE_INTERVALS * expect_s)


def test_without_a_header_there_are_no_heart_beats() -> None:
    assert str(HeartBeat.parse(None)) == "0,0"


def test_the_longest_interval_is_a_day() -> None:
    assert HeartBeat.parse(f"{HEART_BEAT_MS_MAX},0").send_ms == HEART_BEAT_MS_MAX


@pytest.mark.parametrize(
    "header",
    ["", "5000", "5000,", "-1,0", "a,b", "1,2,3", "1 ,2", f"{HEART_BEAT_MS_MAX + 1},0", "٣,0"],
)
def test_anything_but_two_small_numbers_is_malformed(header: str) -> None:
    with pytest.raises(MalformedFrame):
        HeartBeat.parse(header)
