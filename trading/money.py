"""Arithmetic on whole won. Each function names its rounding; rates are parts per million."""

MILLION = 1_000_000
BASIS_POINTS = 10_000


def rate_rounded_down(amount: int, rate_ppm: int) -> int:
    """Return `amount` (won, ≥ 0) times a rate, rounded down. 100 ppm = 1 basis point = 0.01 %."""
    if amount < 0 or rate_ppm < 0:
        raise ValueError("An amount and its rate are never negative.")
    return amount * rate_ppm // MILLION


def raised_by_basis_points(amount: int, basis_points: int) -> int:
    """Return `amount` (won) plus `basis_points` of it, rounded up to be never too little."""
    return -(-amount * (BASIS_POINTS + basis_points) // BASIS_POINTS)


def change_rate_bp(value: int, base: int) -> int:
    """Return the change from `base` (> 0) to `value` in basis points, half away from zero."""
    magnitude = (2 * abs(value - base) * BASIS_POINTS + base) // (2 * base)
    return magnitude if value >= base else -magnitude


def average_price(cost: int, quantity: int) -> int:
    """Return the average price per share in won, rounded half up. For display only."""
    return (2 * cost + quantity) // (2 * quantity)
