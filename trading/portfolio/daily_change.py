"""What a stock did for its holder today: on the shares that he still holds, and with everything that he traded of it.

Today is the calendar day in Korea, which the exchange's base price is of. Sold first are the shares that were held longest: those from before today, then
today's purchases, of which each costs the average of all of them, commission included.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DayTrades:
    """A stock's fills of one day in shares and won: ``spent`` on purchases with commission, ``earned`` by sales less commission and taxes."""

    bought: int = 0
    spent: int = 0
    sold: int = 0
    earned: int = 0


NO_TRADES = DayTrades()


def change_of_held(
    quantity: int, trades: DayTrades, *, price: int | None, base: int | None
) -> int | None:
    """Today's change (won) on the ``quantity`` shares held now: from the base price, and from their cost for those bought today.

    None without a price, or without a base price where a share is from before today.
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
    """What the stock added to the account's worth today (won), sales and all costs included; which shares were sold makes no difference to it.

    None where a price is missing for shares that are held, or a base price for shares from before today.
    """
    before = _held_before(quantity, trades)
    if (quantity and price is None) or (before and base is None):
        return None
    return quantity * (price or 0) + trades.earned - trades.spent - before * (base or 0)


def _held_before(quantity: int, trades: DayTrades) -> int:
    return quantity - trades.bought + trades.sold
