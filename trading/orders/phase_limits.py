"""Price limits of the stocks that have begun a phase of their day."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from trading.exchange.price_grid import PriceRange
from trading.exchange.time import trade_date
from trading.marketdata.quotes import QuoteStore
from trading.marketdata.ticks import Tick
from trading.orders.auctions import AuctionRole
from trading.stocks.price_limits import price_limits_on
from trading.stocks.queries import load_stock_attributes


def limits_of_begun_phases(
    session: Session,
    ticks_by_stock: Mapping[str, Sequence[Tick]],
    roles: Mapping[int, AuctionRole],
    *,
    quotes: QuoteStore,
) -> dict[str, PriceRange]:
    """Return the day's price limits of the stocks that have begun a phase, where they are known."""
    first_prints = {
        code: tick
        for code, ticks in ticks_by_stock.items()
        for tick in ticks
        if roles[tick.position.packed].begins_phase
    }
    stocks = load_stock_attributes(session, first_prints) if first_prints else {}
    published = quotes.published_limits(first_prints)
    limits: dict[str, PriceRange] = {}
    for code, stock in stocks.items():
        day = trade_date(first_prints[code].traded_at)
        base_price = first_prints[code].base_on(day)
        of_day = price_limits_on(
            day, stock.limit_rules, base_price=base_price, published=published.get(code)
        )
        if of_day is not None:
            limits[code] = of_day
    return limits
