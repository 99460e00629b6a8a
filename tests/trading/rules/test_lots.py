"""Holding times: first in, first out, every share by itself."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trading.rules.lots import LotFill, holding_times
from trading.rules.orders import Side

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)


def fill(side: Side, quantity: int, at_s: int, code: str = "A", trade: int = 0) -> LotFill[int]:
    return LotFill(code, side, quantity, BEGAN + timedelta(seconds=at_s), trade)


def test_the_shares_bought_first_are_sold_first() -> None:
    """Of 10 bought at 0 s and 10 at 100 s, 15 sold at 200 s were held (10 · 200 + 5 · 100) / 15 s, the next 5 were bought at 100 s."""
    fills = [fill(Side.BUY, 10, 0), fill(Side.BUY, 10, 100), fill(Side.SELL, 15, 200, trade=1)]

    assert holding_times([*fills, fill(Side.SELL, 5, 300, trade=2)]) == {1: 2_500 // 15, 2: 200}


def test_a_trade_of_several_fills_has_one_time() -> None:
    """Each of its shares alike."""
    fills = [fill(Side.BUY, 4, 0), fill(Side.SELL, 1, 10, trade=1), fill(Side.SELL, 3, 30, trade=1)]
    assert holding_times(fills) == {1: (10 + 90) // 4}


def test_stocks_have_lots_of_their_own() -> None:
    fills = [fill(Side.BUY, 1, 0, "A"), fill(Side.BUY, 1, 50, "B"), fill(Side.SELL, 1, 60, "B", trade=1)]
    assert holding_times(fills) == {1: 10}


def test_shares_without_a_purchase_are_left_out() -> None:
    """A sale of five of which two were bought is told of these two; one of none is not told of."""
    fills = [fill(Side.SELL, 1, 0, trade=1), fill(Side.BUY, 2, 10), fill(Side.SELL, 5, 20, trade=2)]
    assert holding_times(fills) == {2: 10}


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 5), st.sampled_from("AB")), max_size=40))
def test_lots_are_those_of_single_shares(steps: list[tuple[Side, int, str]]) -> None:
    """The same as when each share stands in a queue by itself."""
    queues: dict[str, list[int]] = {"A": [], "B": []}
    expected: dict[int, int] = {}
    fills = []
    for n, (side, quantity, code) in enumerate(steps):
        fills.append(fill(side, quantity, 7 * n * n, code, trade=n))
        if side is Side.BUY:
            queues[code] += [7 * n * n] * quantity
        else:
            taken, queues[code] = queues[code][:quantity], queues[code][quantity:]
            if taken:
                expected[n] = sum(7 * n * n - bought for bought in taken) // len(taken)

    assert holding_times(fills) == expected
