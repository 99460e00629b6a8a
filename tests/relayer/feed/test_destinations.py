"""Destination formats for other brokers."""

import pytest

from relayer.feed.destinations import DestinationStyle, destination_formatter
from trading.marketdata.topics import trade_topic


@pytest.mark.parametrize(
    ("style", "spelling"),
    [
        ("slashes", "/topic/v1/kr/stock/trade/A005930"),
        ("dots", "/topic/v1.kr.stock.trade.A005930"),
        ("percent", "/topic/v1%2Fkr%2Fstock%2Ftrade%2FA005930"),
    ],
)
def test_only_the_topic_name_is_reformatted(style: DestinationStyle, spelling: str) -> None:
    """The kind before it tells the broker how to interpret the name."""
    assert destination_formatter(style)(trade_topic("A005930")) == spelling
