"""Ticks: strict parsing of fields that affect money, and lossless storage."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from trading.marketdata.ticks import MS_MAX, MalformedTick, Position, Tick, parse_toss_trade

NOW = datetime(2026, 11, 20, 1, 0, 0, 123_000, tzinfo=UTC)
TIMES = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001
    datetime(2199, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
POSITION = Position(1_763_600_400_123, 7)
# A trade of a Korean stock with the fields observed in the feed.
GOLDEN: dict[str, Any] = {
    "code": "A005930",
    "dt": "2026-11-20T00:59:59Z",
    "session": "REGULAR",
    "currency": "KRW",
    "exchange": "KRX",
    "base": 69800.0,
    "close": 70000,
    "volume": 12,
    "tradeType": "BUY",
    "changeType": "UP",
    "tradingStrength": 101.27,
    "cumulativeVolume": 4711,
    "cumulativeAmount": 329770000,
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def parse(body: str | bytes) -> Tick:
    return parse_toss_trade(body, code="A005930", received_at=NOW, position=POSITION)


def golden(**changed: Any) -> str:
    return json.dumps({**GOLDEN, **changed})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in GOLDEN.items() if key != name})


def test_trade_message_is_parsed() -> None:
    """Unknown fields are ignored."""
    assert parse(golden()) == Tick(
        code="A005930",
        price=70_000,
        base=69_800,
        volume=12,
        cumulative_volume=4_711,
        trade_type="BUY",
        change_type="UP",
        session="REGULAR",
        exchange="KRX",
        traded_at=datetime(2026, 11, 20, 0, 59, 59, tzinfo=UTC),
        received_at=NOW,
        position=POSITION,
    )


@pytest.mark.parametrize(
    "name", ["code", "currency", "base", "cumulativeVolume", "tradeType", "changeType", "session"]
)
def test_fields_that_do_not_affect_money_are_optional(name: str) -> None:
    """Missing, null, or with any short text in an enum."""
    assert parse(without(name)).price == 70_000
    assert parse(golden(**{name: None})).price == 70_000
    assert parse(golden(tradeType="CROSS", session="NXT_AFTER")).trade_type == "CROSS"


def test_price_off_the_tick_grid_is_accepted() -> None:
    """Midpoint orders print half tick sizes: 139,250 with a tick size of 100."""
    assert parse(golden(close=139_250)).price == 139_250


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("close", None),
        ("close", 0),
        ("close", -1),
        ("close", 70_000.5),
        ("close", 10**9 + 1),
        ("close", True),
        ("close", "70000"),
        ("close", [70_000]),
        ("base", 0),
        ("base", 69_800.25),
        ("volume", -1),
        ("volume", False),
        ("volume", 10**15 + 1),
        ("cumulativeVolume", 1.5),
        ("code", "A000660"),
        ("code", 5930),
        ("currency", "USD"),
        ("session", "x" * 41),
        ("dt", None),
        ("dt", "2026-11-20T00:59:59"),
        ("dt", "yesterday"),
        ("dt", 1_763_600_400),
        ("dt", "0001-01-01T00:00:00+14:00"),
        ("dt", "\ud800"),
    ],
)
def test_invalid_field_is_malformed(field: str, value: object) -> None:
    """Fractions of a won, booleans, another stock or currency, a time without offset."""
    with pytest.raises(MalformedTick):
        parse(golden(**{field: value}))


@pytest.mark.parametrize("name", ["close", "volume", "dt"])
def test_price_volume_and_time_are_required(name: str) -> None:
    with pytest.raises(MalformedTick):
        parse(without(name))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        b"\xff\xfe\x00",
        b"\x80{}",
        golden(close=float("nan")),
        golden(close=float("inf")),
        golden().replace("70000", "1e400"),
        golden().replace("70000", "9" * 5_000),
        golden().replace('"KRX"', "[" * 100_000 + "]" * 100_000),
        "[" * 100_000,
    ],
    ids=range(13),
)
def test_invalid_json_is_malformed(body: str | bytes) -> None:
    """NaN, infinity, huge numbers and deep nesting raise MalformedTick."""
    with pytest.raises(MalformedTick):
        parse(body)


@given(st.binary(max_size=200) | st.text(max_size=200))
@example("{}")
def test_random_bytes_are_malformed(body: str | bytes) -> None:
    with pytest.raises(MalformedTick):
        parse(body)


@given(st.dictionaries(st.sampled_from(sorted(GOLDEN)), JSON_VALUES, max_size=4))
def test_random_field_values_give_a_valid_tick_or_malformed(changed: dict[str, Any]) -> None:
    try:
        tick = parse(golden(**changed))
    except MalformedTick:
        return
    assert type(tick.price) is int
    assert 1 <= tick.price <= 10**9
    assert tick.traded_at.utcoffset() == timedelta(0)
    assert Tick.from_json(tick.to_json()) == tick


def test_malformed_message_is_not_repeated_in_the_error() -> None:
    """The error names the field, so a long or hostile body does not reach the logs."""
    with pytest.raises(MalformedTick) as raised:
        parse(golden(close="<script>" * 1_000))
    assert len(str(raised.value)) < 100


@given(
    st.builds(
        Tick,
        code=st.from_regex(r"A[0-9A-Z]{6}", fullmatch=True),
        price=st.integers(1, 10**9),
        base=st.none() | st.integers(1, 10**9),
        volume=st.integers(0, 10**15),
        cumulative_volume=st.none() | st.integers(0, 10**15),
        trade_type=st.none() | st.text(max_size=40),
        change_type=st.none() | st.text(max_size=40),
        session=st.none() | st.text(max_size=40),
        exchange=st.none() | st.text(max_size=40),
        traded_at=TIMES,
        received_at=TIMES.map(lambda at: at.replace(microsecond=at.microsecond // 1_000 * 1_000)),
        position=st.builds(Position, st.integers(0, MS_MAX), st.integers(0, 999_999)),
    )
)
def test_tick_survives_json_round_trip(tick: Tick) -> None:
    assert Tick.from_json(tick.to_json()) == tick
    assert Tick.from_json(tick.to_json().encode()) == tick


@given(st.lists(st.tuples(st.integers(0, MS_MAX), st.integers(0, 999_999)), min_size=2, max_size=6))
def test_packed_positions_keep_their_order(pairs: list[tuple[int, int]]) -> None:
    positions = [Position(*pair) for pair in pairs]
    assert sorted(positions) == sorted(positions, key=lambda position: position.packed)
    assert all(Position.unpack(position.packed) == position for position in positions)
    assert all(Position.parse(str(position)) == position for position in positions)
    assert all(position.packed < 2**63 for position in positions)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-",
        "-1",
        "1-x",
        "１-1",
        "1-1-1",
        "1" * 14 + "-1",
        "9223372036854-0",
        "1-1000000",
        "+1-1",
        "1- 1",
    ],
)
def test_invalid_position_is_malformed(text: str) -> None:
    """Full-width digits, signs and values out of range."""
    with pytest.raises(MalformedTick):
        Position.parse(text)


@pytest.mark.parametrize(
    "code", ["", "005930", "a005930", "A00593", "A0059300", "A005930\n", "A00593'", "A００5930"]
)
def test_stored_tick_with_invalid_code_is_malformed(code: str) -> None:
    """Its code would be used in SQL, where one such entry would block all readers of the stream."""
    stored = json.loads(parse(golden()).to_json()) | {"code": code}

    with pytest.raises(MalformedTick):
        Tick.from_json(json.dumps(stored))


def test_age_is_measured_from_receipt_and_never_negative() -> None:
    """A slightly earlier clock reads 0, and the time zone makes no difference."""
    tick = parse(golden())
    seoul = timezone(timedelta(hours=9))
    assert tick.age_ms((NOW + timedelta(milliseconds=1_500)).astimezone(seoul)) == 1_500
    assert tick.age_ms(NOW - timedelta(milliseconds=5)) == 0


def delayed(by: timedelta) -> Tick:
    """Return a tick received ``by`` after it was traded."""
    tick = parse(golden())
    return replace(tick, traded_at=tick.received_at - by)


@pytest.mark.parametrize(
    ("delay", "age"),
    [
        (timedelta(0), 0),
        (timedelta(seconds=5), 0),
        (timedelta(seconds=5, milliseconds=1), 1),
        (timedelta(minutes=9), 535_000),
        (timedelta(days=2, hours=19), 241_195_000),
        (-timedelta(seconds=5), 0),
        (-timedelta(seconds=5, milliseconds=1), 86_400_000),
        (-timedelta(days=300), 86_400_000),
    ],
)
def test_delay_beyond_the_network_counts_as_age(delay: timedelta, age: int) -> None:
    tick = delayed(delay)

    assert tick.age_ms(NOW) == age
    assert tick.age_ms(NOW + timedelta(milliseconds=700)) == age + 700
    assert tick.delay_ms == max(0, delay // timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("delay", "late"),
    [
        (timedelta(seconds=15), False),
        (timedelta(seconds=15, milliseconds=1), True),
        (timedelta(days=3), True),
        (-timedelta(seconds=5), False),
        (-timedelta(seconds=6), True),
    ],
)
def test_trade_is_late_beyond_freshness_limit_and_network(delay: timedelta, late: bool) -> None:
    assert delayed(delay).is_late(10_000) is late


@given(
    st.timedeltas(timedelta(days=-400), timedelta(days=400)), st.integers(100, 3_600_000), st.data()
)
def test_late_trade_is_never_fresh(
    delay: timedelta, freshness_ms: int, data: st.DataObject
) -> None:
    tick = delayed(delay)
    now = NOW + data.draw(st.timedeltas(timedelta(0), timedelta(hours=2)))

    assert tick.age_ms(now) >= tick.age_ms(NOW) >= 0
    assert not tick.is_late(freshness_ms) or tick.age_ms(now) > freshness_ms


@pytest.mark.parametrize(
    ("dt", "at", "after"),
    [
        ("10:06:00", "10:06:00.400000", True),
        ("10:05:59", "10:06:00.400000", False),
        ("10:06:00", "10:06:00", True),
        ("10:06:00", "10:06:01", False),
        ("10:06:00.400", "10:06:00.400900", True),
        ("10:06:00.399", "10:06:00.400900", False),
        ("10:06:00.400899", "10:06:00.400900", False),
        ("10:06:00.400900", "10:06:00.400900", True),
    ],
)
def test_trade_is_after_an_instant_at_the_resolution_of_its_time(
    dt: str, at: str, after: bool
) -> None:
    tick = parse(golden(dt=f"2026-11-20T{dt}Z"))
    instant = datetime.fromisoformat(f"2026-11-20T{at}+00:00")

    assert tick.was_traded_after(instant) is after
    assert tick.was_traded_after(instant.astimezone(timezone(timedelta(hours=9)))) is after


@pytest.mark.parametrize(
    ("price", "base", "change", "rate"),
    [
        (70_000, 69_800, 200, 29),
        (69_600, 69_800, -200, -29),
        (1_001, 2_000, -999, -4_995),
        (3, 2, 1, 5_000),
        (20_001, 20_000, 1, 1),
        (19_999, 20_000, -1, -1),
        (70_000, None, None, None),
    ],
)
def test_change_against_base_price(
    price: int, base: int | None, change: int | None, rate: int | None
) -> None:
    """In won and in bp, rounded half away from zero; None without a base price."""
    tick = parse(golden(close=price, base=base))
    assert (tick.change, tick.change_rate_bp) == (change, rate)
