"""Whole won. A rate is an integer in parts per million; the one function that applies it names its rounding."""

MILLION = 1_000_000
BASIS_POINTS = 10_000


def rate_rounded_down(amount: int, rate_ppm: int) -> int:
    """``amount`` (won, ≥ 0) times a rate in parts per million, rounded down to the won: 100 ppm = 1 basis point = 0.01 %."""
    if amount < 0 or rate_ppm < 0:
        raise ValueError("An amount and its rate are never negative.")
    return amount * rate_ppm // MILLION


def raised_by_basis_points(amount: int, basis_points: int) -> int:
    """``amount`` (won) plus ``basis_points`` of it, rounded up to the won: used where too little would be wrong."""
    return -(-amount * (BASIS_POINTS + basis_points) // BASIS_POINTS)


def change_rate_bp(value: int, base: int) -> int:
    """How far ``value`` lies from ``base`` (> 0), in basis points of it, rounded half away from zero."""
    magnitude = (2 * abs(value - base) * BASIS_POINTS + base) // (2 * base)
    return magnitude if value >= base else -magnitude


def average_price(cost: int, quantity: int) -> int:
    """The average price per share in won, rounded half up, for showing only: it is never stored nor calculated with."""
    return (2 * cost + quantity) // (2 * quantity)
