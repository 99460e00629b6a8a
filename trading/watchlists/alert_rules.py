"""Price alerts: which prices meet a bound. Prices are whole won.

An upper bound is met at or above it and a lower one at or below it, wherever the price was before. A target is met when the price comes to it from
where it was, be that below or above; so what meets it depends on the side on which the price stood when the alert was armed.
"""

from enum import StrEnum


class AlertKind(StrEnum):
    """Which of an item's prices the bound is, by its name there."""

    TARGET = "target_price"
    UPPER = "upper_price"
    LOWER = "lower_price"


class Approach(StrEnum):
    """From which side the price comes to a bound. UNKNOWN until a trade shows it."""

    FROM_BELOW = "FROM_BELOW"
    FROM_ABOVE = "FROM_ABOVE"
    UNKNOWN = "UNKNOWN"


_FIXED = {AlertKind.UPPER: Approach.FROM_BELOW, AlertKind.LOWER: Approach.FROM_ABOVE}


def approach_when_armed(kind: AlertKind, bound: int, last_price: int | None) -> Approach:
    """The side from which the price comes to an alert that is armed while ``last_price`` is the last one seen; None when none was.

    A target at the very price where the stock stands has no side yet.
    """
    if kind in _FIXED:
        return _FIXED[kind]
    return Approach.UNKNOWN if last_price is None else _from(last_price, bound)


def approach_by_first_trade(bound: int, price: int, base: int | None) -> Approach:
    """The side of a target of UNKNOWN approach, by the first trade after it was armed: FROM_BELOW or FROM_ABOVE.

    That day's base price is where the stock stood before, so a price that opens beyond the target has come through it. Without one, or where it is the
    target itself, the trade's own price tells; a trade at the target meets it from either side.
    """
    for reference in (base, price):
        if reference is not None and reference != bound:
            return _from(reference, bound)
    return Approach.FROM_BELOW


def is_met(approach: Approach, bound: int, price: int) -> bool:
    """Whether a trade at ``price`` meets a bound of known approach."""
    return price >= bound if approach is Approach.FROM_BELOW else price <= bound


def _from(price: int, bound: int) -> Approach:
    if price == bound:
        return Approach.UNKNOWN
    return Approach.FROM_BELOW if price < bound else Approach.FROM_ABOVE
