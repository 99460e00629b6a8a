"""Price alerts: which trade prices meet a bound. Prices are whole won.

An upper bound is met by a trade at or above it, a lower bound by one at or below it. A target is
met when the price reaches it from either side, so the prices that meet it depend on the side where
the price was when the alert was armed.
"""

from enum import StrEnum


class AlertKind(StrEnum):
    """The price of a watchlist item that is a bound; the value is its name in the API."""

    TARGET = "target_price"
    UPPER = "upper_price"
    LOWER = "lower_price"


class Approach(StrEnum):
    """The side from which the price approaches a bound. UNKNOWN until a trade shows it."""

    FROM_BELOW = "FROM_BELOW"
    FROM_ABOVE = "FROM_ABOVE"
    UNKNOWN = "UNKNOWN"


_FIXED = {AlertKind.UPPER: Approach.FROM_BELOW, AlertKind.LOWER: Approach.FROM_ABOVE}


def approach_when_armed(kind: AlertKind, bound: int, last_price: int | None) -> Approach:
    """Return the approach of an alert that is armed now.

    `last_price` is None when no trade is known. A target at exactly the last price is UNKNOWN.
    """
    if kind in _FIXED:
        return _FIXED[kind]
    return Approach.UNKNOWN if last_price is None else _from(last_price, bound)


def approach_by_first_trade(bound: int, price: int, base: int | None) -> Approach:
    """Return the approach of an UNKNOWN target from the first trade after it was armed.

    The trade's base price is the price before that day's first trade, so an opening price beyond
    the target has passed through it. Without a base price, or if it equals the target, the trade's
    own price decides. A trade at the target meets it from either side.
    """
    for reference in (base, price):
        if reference is not None and reference != bound:
            return _from(reference, bound)
    return Approach.FROM_BELOW


def is_met(approach: Approach, bound: int, price: int) -> bool:
    """Return True if a trade at `price` meets a bound of known approach."""
    return price >= bound if approach is Approach.FROM_BELOW else price <= bound


def _from(price: int, bound: int) -> Approach:
    if price == bound:
        return Approach.UNKNOWN
    return Approach.FROM_BELOW if price < bound else Approach.FROM_ABOVE
