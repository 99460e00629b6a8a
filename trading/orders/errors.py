"""Refusals of orders."""

from trading.errors import DomainError


class InvalidTickSize(DomainError):
    """Facts: ``price`` and ``tick_size`` in won, ``nearest_prices``: the legal ones next to it, ascending."""

    code = "invalid-tick-size"


class PriceOutOfRange(DomainError):
    """Facts: ``price``, ``lower_limit``, ``upper_limit`` and the ``base_price`` that they follow from, all in won."""

    code = "price-out-of-range"


class OrderNotFound(DomainError):
    code = "order-not-found"


class OrderNotOpen(DomainError):
    """Facts: ``order_status``, ``reason`` (why it ended, None when it was filled) and ``executed_quantity`` in shares."""

    code = "order-not-open"


class OrderNotAmendable(DomainError):
    """Only limit orders that may wait can be amended. Facts: ``order_type`` and ``time_in_force``."""

    code = "order-not-amendable"


class ClientOrderIdTaken(DomainError):
    code = "client-order-id-taken"
