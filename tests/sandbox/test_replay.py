"""Minute bars become trades within their ranges."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.plan import ROOT
from sandbox.replay import (
    Bar,
    MalformedBars,
    opening_tape,
    play_bar,
    price_path,
    read_bars,
    split_volume,
)
from sandbox.trade import Trade
from trading.exchange.price_grid import tick_size
from trading.exchange.time import KST
from trading.stocks.listing import seed_listing

SAMSUNG = seed_listing()[0]
STAMP = datetime(2026, 1, 15, 9, 1, tzinfo=KST)
REAL_BARS = ROOT.parent / "shared" / "data" / "samsung_minute_2026-01-15.csv"


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    """Bars on half ticks for stocks between 50,000 and 200,000 won, like real ones."""
    low, high = sorted(draw(st.integers(1_000, 3_000)) * 50 for _ in range(2))
    inside = st.integers(low // 50, high // 50).map(lambda half_steps: half_steps * 50)
    return Bar(
        stamp=STAMP,
        open=draw(inside),
        close=draw(inside),
        low=low,
        high=high,
        volume=draw(st.integers(0, 40) | st.integers(0, 10**7)),
    )


def play(bars: list[Bar], *, base: int | None = None) -> list[Trade]:
    """Return all trades of the bars, replayed at 60 times their speed from midnight."""
    at = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    tape = opening_tape(bars, SAMSUNG, base=base, speed=60, at=at)
    trades = []
    draw = Random(1)
    for bar in bars:
        for following, trade in play_bar(tape, bar, draw):
            tape = following
            trades.append(trade)
    return trades


@given(bar=bars())
def test_trades_of_a_bar_reproduce_the_bar(bar: Bar) -> None:
    """From open to close within low and high, on the grid or half a tick above, with the bar's time
    and volume.
    """
    trades = play([bar])

    prices = [trade.price for trade in trades]
    assert all(bar.low <= price <= bar.high for price in prices)
    assert all(price % tick_size(price) in (0, tick_size(price) // 2) for price in prices)
    assert sum(trade.volume for trade in trades) == bar.volume
    assert all(trade.volume > 0 and trade.traded_at == bar.stamp for trade in trades)
    assert prices[-1:] == ([bar.close] if bar.volume else [])
    if bar.volume >= 4:
        assert (prices[0], min(prices), max(prices)) == (bar.open, bar.low, bar.high)
    totals = [trade.totals.volume for trade in trades]
    assert totals == sorted(set(totals))


def test_rising_bar_falls_first_and_falling_bar_rises_first() -> None:
    rising = Bar(stamp=STAMP, open=70_100, high=70_500, low=70_000, close=70_400, volume=4)
    falling = Bar(stamp=STAMP, open=70_400, high=70_500, low=70_000, close=70_100, volume=4)

    assert price_path(rising, SAMSUNG) == [70_100, 70_000, 70_500, 70_400]
    assert price_path(falling, SAMSUNG) == [70_400, 70_500, 70_000, 70_100]


def test_price_path_has_steps_between_the_corners() -> None:
    bar = Bar(stamp=STAMP, open=70_000, high=71_200, low=69_400, close=70_000, volume=1_000)

    path = price_path(bar, SAMSUNG)

    assert len(path) == 19
    assert path[6] == 69_400
    assert path[12] == 71_200
    assert max(abs(after - before) for before, after in pairwise(path)) == 300


@given(volume=st.integers(1, 10**6), data=st.data())
def test_split_volume_has_the_exact_sum(volume: int, data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, min(volume, 30)))

    shares = split_volume(volume, parts, Random(1))

    assert (len(shares), sum(shares), min(shares) > 0) == (parts, volume, True)


def test_new_day_in_the_file_has_its_own_base() -> None:
    first = Bar(stamp=STAMP, open=70_050, high=70_050, low=70_050, close=70_050, volume=5)
    second = Bar(
        stamp=STAMP + timedelta(days=1),
        open=70_200,
        high=70_200,
        low=70_200,
        close=70_200,
        volume=7,
    )

    trades = play([first, second])

    assert [trade.base for trade in trades] == [70_100] * 4 + [70_100] * 4
    assert trades[-1].totals.volume == trades[3].totals.volume + 7


def test_base_price_can_be_given() -> None:
    bar = Bar(stamp=STAMP, open=70_050, high=70_050, low=70_050, close=70_050, volume=5)

    assert {trade.base for trade in play([bar], base=65_000)} == {65_000}


def test_file_of_bars_is_read(tmp_path: Path) -> None:
    """Times without an offset are Korean time."""
    file = tmp_path / "bars.csv"
    file.write_text(
        "datetime,open,high,low,close,volume\n2026-01-15 09:01:00,1,3,1,2,10\n", encoding="utf-8"
    )

    assert read_bars(file) == [Bar(stamp=STAMP, open=1, high=3, low=1, close=2, volume=10)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            "date,open\n",
            "line 1: the columns must be datetime,open,high,low,close,volume",
            id="columns",
        ),
        pytest.param("datetime,open,high,low,close,volume\n", "the file has no bars", id="empty"),
        pytest.param(
            "datetime,open,high,low,close,volume\nx,1,1,1,1,1\n",
            "line 2: a stamp and five whole numbers are needed",
            id="stamp",
        ),
        pytest.param(
            "datetime,open,high,low,close,volume\n2026-01-15,1.5,1,1,1,1\n",
            "line 2: a stamp and five whole numbers are needed",
            id="fraction",
        ),
        pytest.param(
            "datetime,open,high,low,close,volume\n2026-01-15,5,4,1,2,1\n",
            "line 2: open and close do not lie between low and high",
            id="open above high",
        ),
        pytest.param(
            "datetime,open,high,low,close,volume\n2026-01-15,1,1,1,1,-1\n",
            "line 2: the volume is negative",
            id="negative volume",
        ),
    ],
)
def test_invalid_file_is_reported_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(MalformedBars) as fault:
        read_bars(file)
    assert str(fault.value) == message


def test_binary_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(MalformedBars, match="not UTF-8"):
        read_bars(file)


@pytest.mark.skipif(not REAL_BARS.exists(), reason="the real bars are not on this machine")
def test_real_bars_can_be_replayed() -> None:
    bars = read_bars(REAL_BARS)

    trades = play(bars)

    by_stamp = {bar.stamp: bar for bar in bars}
    assert sum(trade.volume for trade in trades) == sum(bar.volume for bar in bars)
    assert all(
        by_stamp[trade.traded_at].low <= trade.price <= by_stamp[trade.traded_at].high
        for trade in trades
    )
