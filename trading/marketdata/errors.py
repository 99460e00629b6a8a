"""Domain errors of market data."""

from trading.errors import DomainError

# The relayer reads requested stocks once a second, subscribes, and receives the next trade.
SUBSCRIPTION_WAIT_S = 3


class NoLivePrice(DomainError):
    """Facts: ``stock_code``, ``age_ms`` of the last tick or None.

    Also ``retry_after_s``, after which the stock is subscribed, if Redis is available.
    """

    code = "no-live-price"
