"""Whether a payment that PortOne reports is the one that was agreed.

The browser starts the payment and is the payer's own: the amount, the currency and the channel in a report are his choice until they
are held against what was stored when the payment was prepared.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trading.payments.model import is_payment_id
from trading.payments.portone_payment import KRW, LIVE, VERSION, Report


class Mismatch(StrEnum):
    """In what a report differs from the terms."""

    PAYMENT_ID = "payment-id"
    STORE = "store"
    VERSION = "version"
    AMOUNT = "amount"
    CURRENCY = "currency"
    TAX_FREE_AMOUNT = "tax-free-amount"
    TEST_CHANNEL = "test-channel"
    CHANNEL = "channel"


# With one of these the report is of another payment, or of another amount, and says nothing about money that was credited before.
IDENTITY_MISMATCHES = frozenset(
    {Mismatch.PAYMENT_ID, Mismatch.STORE, Mismatch.VERSION, Mismatch.AMOUNT, Mismatch.CURRENCY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTerms:
    """What was agreed when a payment was prepared: ``amount`` won, none of it tax-free, by one of ``channel_keys`` of our store.

    A test channel says PAID without any money, so ``test_channel_allowed`` is for a laptop only. ``expires_at`` (aware) is until when
    a payment that was not begun is waited for.
    """

    payment_id: str
    store_id: str
    channel_keys: frozenset[str]
    amount: int
    expires_at: datetime
    test_channel_allowed: bool = False

    def __post_init__(self) -> None:
        if not is_payment_id(self.payment_id):
            raise ValueError("A payment's id is 32 lower-case letters and digits.")
        if self.amount <= 0:
            raise ValueError("A payment is of at least one won.")
        if self.expires_at.tzinfo is None:
            raise ValueError("An instant without an offset is no instant.")


def find_mismatches(terms: PaymentTerms, report: Report) -> frozenset[Mismatch]:
    """Everything in which the report differs from the terms. Money is credited when that is nothing, and never otherwise."""
    agrees = {
        Mismatch.PAYMENT_ID: report.payment_id == terms.payment_id,
        Mismatch.STORE: report.store_id == terms.store_id,
        Mismatch.VERSION: report.version == VERSION,
        Mismatch.AMOUNT: report.total == terms.amount,
        Mismatch.CURRENCY: report.currency == KRW,
        Mismatch.TAX_FREE_AMOUNT: report.tax_free == 0,
        Mismatch.TEST_CHANNEL: report.channel_type == LIVE or terms.test_channel_allowed,
        Mismatch.CHANNEL: report.channel_key in terms.channel_keys,
    }
    return frozenset(mismatch for mismatch, holds in agrees.items() if not holds)
