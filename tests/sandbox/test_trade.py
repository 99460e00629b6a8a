"""The message format of a trade is that of a real Korean trade."""

import json
from datetime import datetime

import pytest

from sandbox.trade import DayTotals, Trade
from trading.exchange.time import KST
from trading.marketdata.ticks import Position, parse_toss_trade

STRINGS = {"changeType", "code", "currency", "dt", "exchange", "session", "tradeType"}
NUMBERS = {"base", "close", "cumulativeAmount", "cumulativeVolume", "tradingStrength", "volume"}


def trade(price: int = 70_100) -> Trade:
    return Trade(
        code="A005930",
        traded_at=datetime(2026, 11, 20, 9, 0, 1, 500_000, tzinfo=KST),
        price=price,
        base=70_000,
        volume=3,
        side="SELL",
        totals=DayTotals(volume=10, amount=700_000, bought=6, sold=4),
    )


def test_fields_are_those_of_a_real_trade() -> None:
    record = json.loads(trade().body())

    assert {name for name, value in record.items() if isinstance(value, str)} == STRINGS
    assert {name for name, value in record.items() if isinstance(value, int | float)} == NUMBERS
    assert set(record) == STRINGS | NUMBERS
    assert record["dt"] == "2026-11-20T00:00:01Z"
    assert record["tradingStrength"] == 150.0


def test_relayer_parses_it() -> None:
    now = datetime(2026, 11, 20, 9, 0, 2, tzinfo=KST)

    tick = parse_toss_trade(
        trade().body(), code="A005930", received_at=now, position=Position(1, 0)
    )

    assert (tick.price, tick.base, tick.volume, tick.cumulative_volume, tick.trade_type) == (
        70_100,
        70_000,
        3,
        10,
        "SELL",
    )


@pytest.mark.parametrize(("price", "change"), [(69_900, "DOWN"), (70_000, "FLAT"), (70_100, "UP")])
def test_change_is_relative_to_the_base(price: int, change: str) -> None:
    assert json.loads(trade(price).body())["changeType"] == change


def test_totals_add_up() -> None:
    totals = DayTotals().plus(100, 3, "BUY").plus(200, 2, "SELL")

    assert totals == DayTotals(volume=5, amount=700, bought=3, sold=2)
    assert DayTotals().plus(100, 3, "BUY").strength == 100.0
