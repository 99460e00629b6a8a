"""Refusals that a user can meet, as data.

    DomainError
    ├── ValidationFailed          validation-failed
    ├── Unauthorized              unauthorized
    ├── Forbidden                 forbidden
    ├── EmailTaken                email-taken
    ├── UserNotFound              user-not-found
    ├── StockNotFound             stock-not-found
    ├── StockNotTradable          stock-not-tradable
    ├── NoLivePrice               no-live-price
    ├── MarketClosed              market-closed
    ├── TradingHalted             trading-halted
    ├── InvalidTickSize           invalid-tick-size
    ├── PriceOutOfRange           price-out-of-range
    ├── InsufficientCash          insufficient-cash
    ├── InsufficientQuantity      insufficient-quantity
    ├── CashLimitExceeded         cash-limit-exceeded
    ├── AccountOverdrawn          account-overdrawn
    ├── AccountHalted             account-halted
    ├── OrderNotFound             order-not-found
    ├── OrderNotOpen              order-not-open
    ├── OrderNotAmendable         order-not-amendable
    ├── ClientOrderIdTaken        client-order-id-taken
    ├── PaymentNotFound           payment-not-found
    ├── PaymentNotRefundable      payment-not-refundable
    ├── RefundExceedsPayment      refund-exceeds-payment
    ├── PaymentServiceUnavailable  payment-service-unavailable
    ├── PaymentServiceRefused     payment-service-refused
    ├── TransactionNotFound       transaction-not-found
    ├── HoldingNotFound           holding-not-found
    ├── WatchlistDirectoryNotFound  watchlist-directory-not-found
    ├── WatchlistDirectoryNotEmpty  watchlist-directory-not-empty
    ├── WatchlistNameTaken        watchlist-name-taken
    ├── WatchlistDefaultStays     watchlist-default-stays
    ├── WatchlistItemNotFound     watchlist-item-not-found
    ├── WatchlistDuplicate        watchlist-duplicate
    ├── WatchlistLimitReached     watchlist-limit-reached
    ├── WatchlistOrderMismatch    watchlist-order-mismatch
    ├── IdempotencyKeyConflict    idempotency-key-conflict
    ├── RequestInProgress         request-in-progress
    ├── RateLimited               rate-limited
    ├── SignInLocked              sign-in-locked
    ├── TooManyStreams            too-many-streams
    └── StreamLimitReached        stream-limit-reached

A refusal is expected: it is logged at info and never retried. It carries a stable ``code`` and typed facts, but neither an
HTTP status nor a sentence for the user: those belong to the edge that speaks to him.
"""

from typing import ClassVar

Fact = int | str | bool | list[str] | list[int] | None


class DomainError(Exception):
    """An expected refusal. ``facts`` (JSON values) say what was needed and what was there, in won and shares."""

    code: ClassVar[str] = ""

    def __init__(self, **facts: Fact) -> None:
        super().__init__(self.code)
        self.facts = facts


class ValidationFailed(DomainError):
    code = "validation-failed"


class Unauthorized(DomainError):
    code = "unauthorized"


class Forbidden(DomainError):
    code = "forbidden"


class EmailTaken(DomainError):
    code = "email-taken"


class UserNotFound(DomainError):
    code = "user-not-found"


class StockNotFound(DomainError):
    code = "stock-not-found"


class StockNotTradable(DomainError):
    code = "stock-not-tradable"


class NoLivePrice(DomainError):
    code = "no-live-price"


class MarketClosed(DomainError):
    """Facts: ``next_open``, the RFC 3339 time from which such an order is accepted."""

    code = "market-closed"


class TradingHalted(DomainError):
    """Facts: ``since``, the RFC 3339 time at which an administrator stopped trading."""

    code = "trading-halted"


class InvalidTickSize(DomainError):
    """Facts: ``price`` and ``tick_size`` in won, ``nearest_prices``: the legal ones next to it, ascending."""

    code = "invalid-tick-size"


class PriceOutOfRange(DomainError):
    """Facts: ``price``, ``lower_limit``, ``upper_limit`` and the ``base_price`` that they follow from, all in won."""

    code = "price-out-of-range"


class InsufficientCash(DomainError):
    """Facts: ``needed`` and ``available`` in won; for an order also ``largest_quantity`` in shares."""

    code = "insufficient-cash"


class InsufficientQuantity(DomainError):
    """Facts: ``needed``, ``held`` and ``reserved`` in shares; ``reserved_by``, the ids of the open sell orders that reserve them."""

    code = "insufficient-quantity"


class CashLimitExceeded(DomainError):
    """Facts: ``limit`` in won, the most that one account may hold."""

    code = "cash-limit-exceeded"


class AccountOverdrawn(DomainError):
    """Money was taken back that the user had spent. Facts: ``debt`` in won, which has to come in before anything goes out."""

    code = "account-overdrawn"


class AccountHalted(DomainError):
    """The account may not trade, nor give cash away, until an operator has looked at it. Facts: ``since``, an RFC 3339 time."""

    code = "account-halted"


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


class TransactionNotFound(DomainError):
    code = "transaction-not-found"


class HoldingNotFound(DomainError):
    code = "holding-not-found"


class WatchlistDirectoryNotFound(DomainError):
    code = "watchlist-directory-not-found"


class WatchlistDirectoryNotEmpty(DomainError):
    """Facts: ``item_count``, how many stocks would go with it."""

    code = "watchlist-directory-not-empty"


class WatchlistNameTaken(DomainError):
    code = "watchlist-name-taken"


class WatchlistDefaultStays(DomainError):
    """The default directory can't be deleted."""

    code = "watchlist-default-stays"


class WatchlistItemNotFound(DomainError):
    code = "watchlist-item-not-found"


class WatchlistDuplicate(DomainError):
    """Facts: ``stock_code``, and ``directory_id``, the directory that has it already."""

    code = "watchlist-duplicate"


class WatchlistLimitReached(DomainError):
    """Facts: ``limit``, the most directories of a user or items of a directory; ``limited`` says which of the two."""

    code = "watchlist-limit-reached"


class WatchlistOrderMismatch(DomainError):
    """An order that is not of exactly the items there are. Facts: the ids that are ``missing`` from it, and those that are ``unknown`` to the
    directory."""

    code = "watchlist-order-mismatch"


class IdempotencyKeyConflict(DomainError):
    code = "idempotency-key-conflict"


class RequestInProgress(DomainError):
    code = "request-in-progress"


class RateLimited(DomainError):
    """More was asked for than is allowed in a span. Facts: ``limit`` requests per ``window_s`` seconds; ``retry_after_s``, when to try again."""

    code = "rate-limited"


class SignInLocked(DomainError):
    """Too many sign-ins in a row failed. Facts: ``retry_after_s``, the seconds for which none is tried."""

    code = "sign-in-locked"


class TooManyStreams(DomainError):
    """The server holds as many connections as it may. Facts: ``limit``, how many that is."""

    code = "too-many-streams"


class StreamLimitReached(DomainError):
    """The user holds as many connections as one may. Facts: ``limit``, how many that is."""

    code = "stream-limit-reached"
