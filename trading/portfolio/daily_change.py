"""Today's change of a stock's value: on the shares held now, and with today's trades included.

Today is the calendar day in Korea, to which the exchange's base price applies. Sales are first in,
first out: shares from before today are sold first, then today's purchases. Each of today's
purchases costs the average of all of them, commission included.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DayTrades:
    """A stock's fills of one day (shares, won).

    ``spent`` is the cost of purchases with commission; ``earned`` is the proceeds of sales less
    commission and taxes.
    """

    bought: int = 0
    spent: int = 0
    sold: int = 0
    earned: int = 0


NO_TRADES = DayTrades()


def change_of_held(
    quantity: int, trades: DayTrades, *, price: int | None, base: int | None
) -> int | None:
    """Return today's change (won) on the ``quantity`` shares held now.

    It is measured from the base price, and for shares bought today from their cost. Return None
    without a price, or without a base price if some shares are from before today.
    """
    from_before = max(0, _held_before(quantity, trades) - trades.sold)
    if price is None or (from_before and base is None):
        return None
    of_today = quantity - from_before
    sold_of_today = trades.bought - of_today
    cost = trades.spent - trades.spent * sold_of_today // trades.bought if of_today else 0
    return from_before * (price - (base or 0)) + of_today * price - cost


def change_of_day(
    quantity: int, trades: DayTrades, *, price: int | None, base: int | None
) -> int | None:
    """Return what the stock added to the account's value today (won), sales and all costs included.

    The result does not depend on which shares were sold. Return None if the price is missing while
    shares are held, or the base price while there are shares from before today.
    """
    before = _held_before(quantity, trades)
    if (quantity and price is None) or (before and base is None):
        return None
    return quantity * (price or 0) + trades.earned - trades.spent - before * (base or 0)


def _held_before(quantity: int, trades: DayTrades) -> int:
    return quantity - trades.bought + trades.sold
