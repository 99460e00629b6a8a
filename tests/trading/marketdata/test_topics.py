"""Topics of the feed."""

import pytest

from trading.marketdata.topics import code_of_trade_topic, parse_trade_topic, trade_topic

INVALID_TOPICS = [
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
def test_trade_topic_round_trip(code: str) -> None:
    assert code_of_trade_topic(trade_topic(code)) == code


@pytest.mark.parametrize("text", INVALID_TOPICS)
def test_other_text_is_no_topic(text: str) -> None:
    """No text that could add a header to a STOMP frame, and no topic that is not used."""
    assert code_of_trade_topic(text) is None
    assert parse_trade_topic(text) is None


@pytest.mark.parametrize(
    "text", ["A005930", "005930", " a005930 ", "/topic/v1/kr/stock/trade/A005930"]
)
def test_topic_is_parsed_from_a_stock_code(text: str) -> None:
    assert parse_trade_topic(text) == "/topic/v1/kr/stock/trade/A005930"
