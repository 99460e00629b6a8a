"""Domain errors about orders."""

from trading.errors import DomainError


class InvalidTickSize(DomainError):
    """Facts: ``price``, ``tick_size`` and ``nearest_prices`` (legal, ascending), all in won."""

    code = "invalid-tick-size"


class PriceOutOfRange(DomainError):
    """Facts in won: ``price``, ``lower_limit``, ``upper_limit`` and the ``base_price`` of the
    limits.
    """

    code = "price-out-of-range"


class OrderNotFound(DomainError):
    code = "order-not-found"


class OrderNotOpen(DomainError):
    """Facts: ``order_status``, ``reason`` (why it ended, None if filled), ``executed_quantity``."""

    code = "order-not-open"


class OrderNotAmendable(DomainError):
    """Only limit orders that may rest can be amended. Facts: ``order_type``, ``time_in_force``."""

    code = "order-not-amendable"


class ClientOrderIdTaken(DomainError):
    """Facts: ``client_order_id``, and ``order_id`` of the user's order that has it."""

    code = "client-order-id-taken"
