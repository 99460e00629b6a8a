"""Ticks: parsed strictly where money depends on them, kept without loss."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trading.marketdata.ticks import MS_MAX, MalformedTick, Position, Tick, parse_toss_trade

NOW = datetime(2026, 11, 20, 1, 0, 0, 123_000, tzinfo=UTC)
PLACE = Position(1_763_600_400_123, 7)
# A KR trade with the fields that the feed was seen to send.
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
    return parse_toss_trade(body, code="A005930", received_at=NOW, position=PLACE)


def golden(**changed: Any) -> str:
    return json.dumps({**GOLDEN, **changed})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in GOLDEN.items() if key != name})


def test_a_trade_of_the_feed() -> None:
    """The golden message, field by field; fields that we do not know are passed over."""
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
        position=PLACE,
    )


@pytest.mark.parametrize(
    "name", ["code", "currency", "base", "cumulativeVolume", "tradeType", "changeType", "session"]
)
def test_what_does_not_decide_money_may_be_absent(name: str) -> None:
    """The feed has no contract: optional fields may be missing or null, and enums may have any short text."""
    assert parse(without(name)).price == 70_000
    assert parse(golden(**{name: None})).price == 70_000
    assert parse(golden(tradeType="CROSS", session="NXT_AFTER")).trade_type == "CROSS"


def test_prices_off_the_grid_are_real() -> None:
    """Mid-price orders print half steps: 139,250 with a step of 100 is a trade."""
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
def test_what_decides_money_is_checked(field: str, value: object) -> None:
    """A fraction of a won, a boolean, another stock, another currency, a time without offset: no tick."""
    with pytest.raises(MalformedTick):
        parse(golden(**{field: value}))


@pytest.mark.parametrize("name", ["close", "volume", "dt"])
def test_what_decides_money_is_needed(name: str) -> None:
    """Price, volume and time are never guessed."""
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
def test_broken_json_is_one_kind_of_error(body: str | bytes) -> None:
    """NaN, infinity, numbers of thousands of digits, nesting to the ceiling: MalformedTick, whatever the parser would raise."""
    with pytest.raises(MalformedTick):
        parse(body)


@given(st.binary(max_size=200) | st.text(max_size=200))
@example("{}")
def test_garbage_is_malformed_and_nothing_else(body: str | bytes) -> None:
    """Random bytes and texts never raise anything but MalformedTick."""
    with pytest.raises(MalformedTick):
        parse(body)


@given(st.dictionaries(st.sampled_from(sorted(GOLDEN)), JSON_VALUES, max_size=4))
def test_a_field_of_any_kind_gives_a_sound_tick_or_a_malformed_one(changed: dict[str, Any]) -> None:
    """Random values in place of the real ones: either refused, or a tick whose figures are whole and in bounds."""
    try:
        tick = parse(golden(**changed))
    except MalformedTick:
        return
    assert type(tick.price) is int
    assert 1 <= tick.price <= 10**9
    assert tick.traded_at.utcoffset() == timedelta(0)
    assert Tick.from_json(tick.to_json()) == tick


def test_a_malformed_message_is_not_repeated_in_full() -> None:
    """The error names the field; a long or hostile body does not end up in the logs."""
    with pytest.raises(MalformedTick) as refused:
        parse(golden(close="<script>" * 1_000))
    assert len(str(refused.value)) < 100


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
        traded_at=st.datetimes(datetime(2, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        received_at=st.datetimes(datetime(2, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
            lambda at: at.replace(microsecond=at.microsecond // 1_000 * 1_000)
        ),
        position=st.builds(Position, st.integers(0, MS_MAX), st.integers(0, 999_999)),
    )
)
def test_a_tick_comes_back_from_redis_as_it_went(tick: Tick) -> None:
    """Writing and reading loses nothing, text of any script included."""
    assert Tick.from_json(tick.to_json()) == tick
    assert Tick.from_json(tick.to_json().encode()) == tick


@given(st.lists(st.tuples(st.integers(0, MS_MAX), st.integers(0, 999_999)), min_size=2, max_size=6))
def test_packed_positions_keep_their_order(places: list[tuple[int, int]]) -> None:
    """One 64-bit integer orders as the stream does, and unpacks to the same place."""
    positions = [Position(*place) for place in places]
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
def test_other_texts_are_no_position(text: str) -> None:
    """Full-width digits, signs and anything out of range are refused."""
    with pytest.raises(MalformedTick):
        Position.parse(text)


@pytest.mark.parametrize(
    "code", ["", "005930", "a005930", "A00593", "A0059300", "A005930\n", "A00593'", "A００5930"]
)
def test_what_is_no_product_code_does_not_come_back_from_redis(code: str) -> None:
    """It would get into statements, and one such entry would stop whoever reads the stream."""
    stored = json.loads(parse(golden()).to_json()) | {"code": code}

    with pytest.raises(MalformedTick):
        Tick.from_json(json.dumps(stored))


def test_age_is_measured_from_receipt_and_never_negative() -> None:
    """The receiver's clock counts; one slightly behind reads 0, and a time of another zone is the same instant."""
    tick = parse(golden())
    seoul = timezone(timedelta(hours=9))
    assert tick.age_ms((NOW + timedelta(milliseconds=1_500)).astimezone(seoul)) == 1_500
    assert tick.age_ms(NOW - timedelta(milliseconds=5)) == 0


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
def test_the_change_against_the_base(
    price: int, base: int | None, change: int | None, rate: int | None
) -> None:
    """In won and in basis points, rounded half away from zero alike on both sides; unknown without a base."""
    tick = parse(golden(close=price, base=base))
    assert (tick.change, tick.change_rate_bp) == (change, rate)
