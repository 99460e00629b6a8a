"""Refusals about payments."""

from trading.errors import DomainError


class PaymentNotFound(DomainError):
    code = "payment-not-found"


class PaymentNotRefundable(DomainError):
    """Facts: ``payment_status``; only what was credited, and not all given back, can be refunded."""

    code = "payment-not-refundable"


class RefundExceedsPayment(DomainError):
    """Facts: ``needed`` and ``refundable`` in won: what is left of the payment without the refunds under way."""

    code = "refund-exceeds-payment"


class PaymentServiceUnavailable(DomainError):
    """The payment service gave no usable answer in time. Nothing can be paid under the payment that was being prepared."""

    code = "payment-service-unavailable"


class PaymentServiceRefused(DomainError):
    """The payment service refused what only a fault of the set-up explains."""

    code = "payment-service-refused"
