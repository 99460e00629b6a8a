"""Destinations of the feed, and nothing else, are taken for destinations."""

import pytest

from trading.marketdata.topics import code_of_trade_topic, parse_trade_topic, trade_topic

NO_TOPICS = [
    "/topic/v1/us/stock/trade/A005930",
    "/topic/v1/kr/stock/index/KGG01P",
    "/topic/v1/kr/stock/trade/A005930/x",
    "/topic/v1/kr/stock/trade/A005930\n",
    "/topic/v1/kr/stock/trade/A005930\nid:1",
    "/topic/v1/kr/stock/trade/A00593０",
    "/topic/v1/kr/stock/trade/*",
    "/topic/v1/kr/stock/order/A005930",
    "",
]


@pytest.mark.parametrize("code", ["A005930", "A0126Z0"])
def test_the_trades_of_a_korean_stock_are_a_destination(code: str) -> None:
    assert code_of_trade_topic(trade_topic(code)) == code


@pytest.mark.parametrize("text", NO_TOPICS)
def test_anything_else_is_none(text: str) -> None:
    """Nothing that would read as another header of a frame, and no destination that nobody here reads."""
    assert code_of_trade_topic(text) is None
    assert parse_trade_topic(text) is None


@pytest.mark.parametrize(
    "text", ["A005930", "005930", " a005930 ", "/topic/v1/kr/stock/trade/A005930"]
)
def test_a_person_may_name_it_by_its_code(text: str) -> None:
    assert parse_trade_topic(text) == "/topic/v1/kr/stock/trade/A005930"
