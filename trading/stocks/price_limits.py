"""The price limits of a stock on a trading day, for every check and every page."""

from datetime import date

from trading.exchange.price_grid import LimitRules, PriceRange, daily_price_range
from trading.marketdata.published_limits import PublishedLimits


def price_limits_on(
    day: date,
    rules: LimitRules,
    *,
    base_price: int | None,
    published: PublishedLimits | None = None,
) -> PriceRange | None:
    """Return the legal prices of a stock on a trading day (KST); None if they are not known.

    ``base_price`` (won) is that of the same day, None if it is not known: overnight the next day's
    is not. Published limits of the same day take precedence over computed ones, except in
    liquidation trading, which has none.
    """
    if published is not None and published.day == day and not rules.in_liquidation:
        return PriceRange(published.lower, published.upper)
    return daily_price_range(base_price, rules, day=day)
