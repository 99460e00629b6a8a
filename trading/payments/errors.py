"""Domain errors about payments."""

from trading.errors import DomainError


class PaymentNotFound(DomainError):
    code = "payment-not-found"


class PaymentNotRefundable(DomainError):
    """Facts: ``payment_status``. Not credited, or fully given back."""

    code = "payment-not-refundable"


class RefundNeedsBankAccount(DomainError):
    """The payment method is refunded only to a bank account, which is not asked for. Facts:
    ``method``, PortOne's name of it.
    """

    code = "refund-needs-bank-account"


class RefundExceedsPayment(DomainError):
    """Facts: ``needed`` and ``refundable`` in won; open refunds are not part of ``refundable``."""

    code = "refund-exceeds-payment"


class PaymentUnderWay(DomainError):
    """An account cannot be closed while a payment or a refund is under way. Facts:
    ``payment_ids``.
    """

    code = "payment-under-way"


class RefundsForfeited(DomainError):
    """Closing the account would forfeit money that can be refunded. Facts: ``refundable`` in won
    and ``payment_ids``.
    """

    code = "refunds-forfeited"


class PaymentServiceUnavailable(DomainError):
    """The payment service gave no usable answer in time; the prepared payment cannot be paid."""

    code = "payment-service-unavailable"


class PaymentServiceRefused(DomainError):
    """The payment service refused a request that only wrong settings explain."""

    code = "payment-service-refused"
